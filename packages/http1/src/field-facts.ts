import { isAllowedTe, isToken, parseContentLength } from '@mesh/http/header-rules';
import { truncate } from '@mesh/http/headers';
import type { Headers } from '@mesh/http/message';
import type { Http1Fault } from './faults.ts';

/**
 * What the fields of one head say about framing and the connection (RFC 9112 §6, §7.6 of RFC 9110). One object per
 * connection, overwritten by each head.
 */
export class FieldFacts {
  /** −1: none. */
  contentLength = -1;
  chunked = false;
  close = false;
  keepAlive = false;
  /** The connection field has the option `upgrade`. */
  connectionUpgrade = false;
  /** Value of the upgrade field in lower case; empty for none, or when there were several. */
  upgrade = '';
  host: string | undefined = undefined;
  /** The expectation in lower case; empty for none, `unknown` for none that is one. */
  expect = '';
  /** Other fields that the connection field named. A set, as there may be as many as fit into a head. */
  #named: Set<string> | undefined = undefined;
  #upgrades = 0;

  /**
   * Takes the fields apart: what belongs to this connection is noted here and removed from `fields` in place, together
   * with all fields that the connection field names.
   */
  read(fields: Headers, version: 10 | 11): Http1Fault | undefined {
    this.#clear();
    let kept = 0;
    for (let index = 0; index < fields.length; index += 2) {
      const name = fields[index] as string;
      const value = fields[index + 1] as string;
      switch (name) {
        case 'content-length':
          if (this.contentLength !== -1) return 'several-content-lengths';
          this.contentLength = parseContentLength(value);
          if (this.contentLength === -1) return 'bad-content-length';
          break;
        case 'transfer-encoding':
          if (version === 10 || this.chunked || value.toLowerCase() !== 'chunked')
            return 'bad-transfer-encoding';
          this.chunked = true;
          continue;
        // Gateways of the CGI kind read `_` as `-`, and would frame the message by a field that means nothing here.
        case 'content_length':
        case 'transfer_encoding':
          return 'framing-lookalike';
        case 'host':
          if (this.host !== undefined) return 'several-hosts';
          this.host = value;
          continue;
        case 'connection':
          if (!this.#readConnection(value)) return 'bad-connection';
          continue;
        case 'upgrade':
          this.upgrade = this.#upgrades++ === 0 && isProtocol(value) ? value.toLowerCase() : '';
          continue;
        case 'keep-alive':
        case 'proxy-connection':
        case 'http2-settings':
          continue;
        case 'te':
          if (!isAllowedTe(value)) continue;
          break;
        case 'expect':
          // HTTP/1.0 knows no expectations (RFC 9110 §10.1.1): none may reach a server that does.
          if (version === 10) continue;
          this.expect = this.expect === '' && value !== '' ? value.toLowerCase() : 'unknown';
          break;
        default:
          break;
      }
      if (kept !== index) {
        fields[kept] = name;
        fields[kept + 1] = value;
      }
      kept += 2;
    }
    truncate(fields, kept);
    if (this.chunked && this.contentLength !== -1) return 'length-and-chunked';
    if (this.#named !== undefined) return this.#removeNamed(fields, this.#named);
    return undefined;
  }

  /** Whether the connection can carry another message after this one (RFC 9112 §9.3). */
  persists(version: 10 | 11): boolean {
    return !this.close && (version === 11 || this.keepAlive);
  }

  /** Lets go of texts that are cut from the head: an idle connection would keep all of it. */
  release(): void {
    this.upgrade = '';
    this.host = undefined;
    this.expect = '';
    this.#named = undefined;
  }

  #clear(): void {
    this.contentLength = -1;
    this.chunked = false;
    this.close = false;
    this.keepAlive = false;
    this.connectionUpgrade = false;
    this.#upgrades = 0;
    this.release();
  }

  #readConnection(value: string): boolean {
    if (value.includes(',')) {
      for (const spelled of value.split(',')) {
        const option = withoutOuterSpace(spelled);
        if (option !== '' && !this.#readOption(option)) return false;
      }
      return true;
    }
    return value === '' || this.#readOption(value);
  }

  #readOption(spelled: string): boolean {
    const option = spelled.toLowerCase();
    switch (option) {
      case 'close':
        this.close = true;
        return true;
      case 'keep-alive':
        this.keepAlive = true;
        return true;
      case 'upgrade':
        this.connectionUpgrade = true;
        return true;
      // Sent by every correct client that asks for trailers; the value of the field itself decides.
      case 'te':
        return true;
      // Removing these would change what the message is, so nobody may name them.
      case 'content-length':
      case 'host':
        return false;
      default:
        if (!isToken(option)) return false;
        this.#named ??= new Set();
        this.#named.add(option);
        return true;
    }
  }

  #removeNamed(fields: Headers, named: ReadonlySet<string>): undefined {
    let kept = 0;
    for (let index = 0; index < fields.length; index += 2) {
      const name = fields[index] as string;
      if (named.has(name)) continue;
      fields[kept] = name;
      fields[kept + 1] = fields[index + 1] as string;
      kept += 2;
    }
    truncate(fields, kept);
  }
}

/** Without spaces and tabs around it. `trim` would take U+00A0 too, which others read as part of the option. */
function withoutOuterSpace(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isSpace(text.charCodeAt(start))) start++;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** `name` or `name/version` (RFC 9110 §7.8). A list is not: choosing from it is not ours, and ignoring is allowed. */
function isProtocol(value: string): boolean {
  const slash = value.indexOf('/');
  if (slash === -1) return isToken(value);
  return isToken(value.slice(0, slash)) && isToken(value.slice(slash + 1));
}
