/** What an issuer may sign: names of its cluster's trust domain, and nothing of any other form. */
import type { GeneralName } from '@mesh/trust/general-names';

const nowhere = Buffer.from('none.invalid', 'latin1');

/**
 * Permitted bases (RFC 5280 §4.2.1.10): the domain for DNS names; for email, URI and IP something that no name matches,
 * because a form without a base is open. The IPv4 base closes IPv6 as well: the form has a base, and no address of 16 bytes
 * matches it.
 */
export function issuerConstraints(domain: string): GeneralName[] {
  return [
    { form: 'dns', value: Buffer.from(domain, 'latin1') },
    { form: 'email', value: nowhere },
    { form: 'uri', value: nowhere },
    { form: 'ip', value: Buffer.from([0, 0, 0, 0, 255, 255, 255, 255]) },
  ];
}

/** How an issuer of one's own CA is made, as lines of an OpenSSL extension file. */
export function issuerExtensions(domain: string): string {
  return (
    'basicConstraints=critical,CA:TRUE,pathlen:0; keyUsage=critical,keyCertSign,cRLSign; ' +
    `nameConstraints=critical,permitted;DNS:${domain},permitted;email:none.invalid,permitted;URI:none.invalid,` +
    'permitted;IP:0.0.0.0/255.255.255.255'
  );
}
