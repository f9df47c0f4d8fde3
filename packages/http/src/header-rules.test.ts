import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  isFieldValue,
  isForbiddenTrailer,
  isLowerCaseName,
  isToken,
  parseContentLength,
  removeConnectionSpecific,
  tokenBytes,
  valueBytes,
} from './header-rules.ts';

test('every byte is a token character, or not, as RFC 9110 says', () => {
  for (let byte = 0; byte < 256; byte++) {
    const character = String.fromCharCode(byte);
    const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]$/.test(character);
    assert.equal(isToken(character), token, `byte ${byte}`);
    assert.equal(tokenBytes[byte] !== 0, token);
    assert.equal(isLowerCaseName(character), token && !/[A-Z]/.test(character));
  }
  assert.equal(tokenBytes[0x41], 0x61);
  assert.ok(!isToken(''));
  assert.ok(!isLowerCaseName(''));
  assert.ok(!isToken('\u0161'));
});

test('every byte may stand inside a value, or not, as RFC 9110 says', () => {
  for (let byte = 0; byte < 256; byte++) {
    const allowed = byte === 9 || (byte >= 0x20 && byte !== 0x7f);
    assert.equal(isFieldValue(`a${String.fromCharCode(byte)}b`), allowed, `byte ${byte}`);
    assert.equal(valueBytes[byte], allowed ? 1 : 0);
  }
  assert.ok(isFieldValue(''));
  for (const value of [' a', 'a ', '\ta', 'a\t', ' ', 'a\u0100b']) assert.ok(!isFieldValue(value));
});

test('connection-specific fields are removed, te: trailers stays', () => {
  const headers = [
    'host',
    'a',
    'x',
    '1',
    'te',
    'Trailers',
    'upgrade',
    'h2c',
    'te',
    'gzip',
    'y',
    '2',
    'connection',
    'x',
  ];
  removeConnectionSpecific(headers);
  assert.deepEqual(headers, ['x', '1', 'te', 'Trailers', 'y', '2']);
});

test('fields that may not follow a body', () => {
  for (const name of [
    'content-length',
    'transfer-encoding',
    'host',
    'authorization',
    'content-type',
    'l5d-client-id',
  ]) {
    assert.ok(isForbiddenTrailer(name), name);
  }
  for (const name of ['grpc-status', 'digest', 'x-checksum']) assert.ok(!isForbiddenTrailer(name), name);
});

test('content-length is plain decimal or refused', () => {
  assert.equal(parseContentLength('0'), 0);
  assert.equal(parseContentLength('1234567890'), 1234567890);
  const refused = [
    '',
    '+5',
    '-0',
    '05',
    '00',
    '0x5',
    '5 5',
    '5,5',
    '5,6',
    ' 5',
    '5 ',
    '5_0',
    '1e3',
    '5.0',
    '9'.repeat(16),
  ];
  for (const value of refused) assert.equal(parseContentLength(value), -1, value);
});
