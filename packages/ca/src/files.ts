/** A trust directory: `anchor.crt` to share and `anchor.key` to keep (`mesh trust init DIR`). */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdir, open, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@mesh/clock/clock';
import { MeshError } from '@mesh/errors/mesh-error';
import { certificateDers } from '@mesh/trust/pem';
import { type Authority, authority, createAnchor, createIssuer } from './authority.ts';

export interface TrustDirectory {
  readonly anchor: Authority;
  /** All certificates of `anchor.crt`; the first one is `anchor`. */
  readonly anchorsPem: string;
}

export interface IssuerMaterial {
  readonly certificatePem: string;
  readonly keyPem: string;
}

const certificateName = 'anchor.crt';
const keyName = 'anchor.key';

/**
 * Makes an anchor and writes it into `directory`, which is created when missing. The key is readable by its owner only.
 * @throws MeshError trust-files when either file exists or cannot be written
 */
export async function initTrust(
  directory: string,
  { clock, lifetimeMs }: { clock: Clock; lifetimeMs?: number },
): Promise<TrustDirectory> {
  const keyFile = join(directory, keyName);
  const certificateFile = join(directory, certificateName);
  for (const file of [keyFile, certificateFile]) {
    if (await exists(file)) throw wouldOverwrite(file);
  }
  const anchor = createAnchor({ clock, ...(lifetimeMs === undefined ? {} : { lifetimeMs }) });
  await mkdir(directory, { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw new MeshError('trust-files', `${directory} cannot be made`, { cause });
  });
  await writeNew(keyFile, pemOf(anchor), 0o600);
  try {
    await writeNew(certificateFile, anchor.certificatePem, 0o644);
  } catch (thrown) {
    await rm(keyFile, { force: true });
    throw thrown;
  }
  return { anchor, anchorsPem: anchor.certificatePem };
}

/** @throws MeshError trust-files when a file is missing, unreadable, open to others, or does not fit the other one */
export async function readTrust(directory: string): Promise<TrustDirectory> {
  const keyFile = join(directory, keyName);
  const certificateFile = join(directory, certificateName);
  const anchorsPem = await readText(certificateFile);
  const [first] = certificateDers(anchorsPem);
  if (first === undefined) throw new MeshError('trust-files', `${certificateFile} holds no certificate`);
  const mode = (await stat(keyFile).catch(() => undefined))?.mode ?? 0;
  if ((mode & 0o077) !== 0) {
    throw new MeshError('trust-files', `${keyFile} is readable by others`, {
      remedy: `chmod 600 ${keyFile}`,
    });
  }
  const keyPem = await readText(keyFile);
  const anchor = authority(readKey(keyPem, keyFile), first);
  const own = createPublicKey(anchor.key).export({ type: 'spki', format: 'der' });
  if (!own.equals(anchor.certificate.spki)) {
    throw new MeshError(
      'trust-files',
      `${keyFile} is not the key of the first certificate in ${certificateFile}`,
    );
  }
  return { anchor, anchorsPem };
}

/** A new issuer for `cluster` under the directory's anchor, as PEM text for a Secret. */
export function issuerFor(
  trust: TrustDirectory,
  options: { cluster: string; clock: Clock; suffix?: string; lifetimeMs?: number },
): IssuerMaterial {
  const issuer = createIssuer({ anchor: trust.anchor, ...options });
  return { certificatePem: issuer.certificatePem, keyPem: pemOf(issuer) };
}

function pemOf({ key }: Authority): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function readKey(pem: string, file: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(pem);
  } catch {
    // The parser's own text may quote the input.
    throw new MeshError('trust-files', `${file} holds no unencrypted private key in PEM`);
  }
}

async function readText(file: string): Promise<string> {
  return await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new MeshError('trust-files', `${file} cannot be read`, {
      remedy: 'Make a trust anchor first: mesh trust init DIR',
      cause,
    });
  });
}

async function exists(file: string): Promise<boolean> {
  return await stat(file).then(
    () => true,
    () => false,
  );
}

function wouldOverwrite(file: string): MeshError {
  return new MeshError('trust-files', `${file} exists and is not overwritten`, {
    remedy: 'Choose another directory; clusters that trust this anchor stop working with a new one.',
  });
}

async function writeNew(file: string, content: string, mode: number): Promise<void> {
  try {
    const handle = await open(file, 'wx', mode);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') throw wouldOverwrite(file);
    throw new MeshError('trust-files', `${file} cannot be written`, { cause });
  }
}
