import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkList } from './chunk-list.ts';

test('what was added comes out, in order, however large the pieces are', () => {
  for (const sizes of [[0], [1], [3, 1024, 1025], [1024], [1, 1, 1, 5000], [700, 0, 64]]) {
    const list = new ChunkList();
    const pieces = Array.from({ length: 300 }, (_, at) =>
      Buffer.alloc(sizes[at % sizes.length] ?? 0, String(at)),
    );
    for (const piece of pieces) list.add(piece);
    assert.ok(Buffer.concat([...list]).equals(Buffer.concat(pieces)), sizes.join());
  }
});

test('a body that comes byte by byte is a few buffers of their own, not sixty-five thousand slices', () => {
  const list = new ChunkList();
  for (let at = 0; at < 65_536; at++) list.add(Buffer.from([at & 0xff]));
  const chunks = [...list];
  assert.ok(chunks.length <= 17, `${chunks.length} buffers`);
  for (const { buffer, length } of chunks) assert.equal(buffer.byteLength, length, 'no part of a larger one');
});

test('large pieces are kept as they are', () => {
  const list = new ChunkList();
  const pieces = Array.from({ length: 200 }, () => Buffer.alloc(1025));
  for (const piece of pieces) list.add(piece);
  assert.ok([...list].every((chunk, index) => chunk === pieces[index]));
});
