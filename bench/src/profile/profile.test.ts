/** From what perf and V8 print to a table. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Category, categoryOf, functionOf } from './categories.ts';
import { CompiledFunctions } from './compiled-functions.ts';
import { type Frame, stacksOf } from './stacks.ts';
import { profileTable } from './table.ts';

const map = `7f0010 20 JS:*onHead file:///src/packages/http1/src/server.ts:232:9
7f0040 10 JS:^old file:///src/packages/dataplane/src/lane.ts:1:1
7f0040 10 JS:*submit file:///src/packages/dataplane/src/lane.ts:80:3
`;

const script = `MainThread
	ffffffff81e3513e sock_def_readable ([kernel.kallsyms])
	ffffffff816bba2a __x64_sys_write ([kernel.kallsyms])
	           f838f __GI___libc_write (/usr/lib/libc.so.6)
	          7f0015 [unknown] (//anon)

MainThread
	          7f0048 [unknown] (//anon)
	          7f0060 [unknown] (//anon)
`;

async function read(text: string): Promise<Frame[][]> {
  const stacks: Frame[][] = [];
  const lines = (async function* () {
    yield* text.split('\n');
  })();
  for await (const stack of stacksOf(lines, new CompiledFunctions(map))) stacks.push(stack);
  return stacks;
}

test('stacks are read, and compiled functions found in them', async () => {
  const [writing, submitting, ...more] = await read(script);
  assert.ok(writing !== undefined && submitting !== undefined && more.length === 0);
  assert.deepEqual(
    writing.map(({ symbol }) => symbol),
    [
      'sock_def_readable',
      '__x64_sys_write',
      '__GI___libc_write',
      'JS:*onHead file:///src/packages/http1/src/server.ts:232:9',
    ],
  );
  assert.equal(categoryOf(writing), 'send');
  assert.equal(functionOf(writing), 'onHead packages/http1/src/server.ts:232');
  assert.equal(categoryOf(submitting), 'routing');
  assert.equal(functionOf(submitting), 'submit packages/dataplane/src/lane.ts:80');
  assert.deepEqual(submitting[1], { symbol: '[unknown]', object: '//anon' });
});

const kernel = (symbol: string): Frame => ({ symbol, object: '[kernel.kallsyms]' });
const native = (symbol: string): Frame => ({ symbol, object: '/usr/bin/node' });
const codec: Frame = { symbol: 'JS:*read file:///r/packages/http2/src/frames.ts:1:2', object: 'V8' };
const stream: Frame = { symbol: 'JS:*onStreamRead node:internal/stream_base_commons:166:22', object: 'V8' };

const samples: readonly (readonly [Category, Frame[]])[] = [
  ['receive', [kernel('tcp_recvmsg'), kernel('__x64_sys_read'), native('uv__read')]],
  ['poll', [kernel('ep_poll'), kernel('__x64_sys_epoll_pwait'), native('uv__io_poll')]],
  ['kernel', [kernel('asm_sysvec_apic_timer_interrupt'), codec]],
  [
    'tls',
    [
      native('aesni_ctr32_encrypt_blocks'),
      native('SSL_write'),
      native('node::crypto::TLSWrap::EncOut'),
      stream,
    ],
  ],
  ['node', [native('malloc'), native('uv_write2'), codec]],
  ['node', [stream, native('node::StreamBase::CallJSOnreadMethod')]],
  ['codec', [native('Builtins_StringAdd_CheckNone'), codec, stream]],
  ['collector', [native('v8::internal::Scavenger::Process'), native('v8::internal::Heap::Scavenge'), codec]],
  ['collector', [kernel('clear_page'), native('v8::internal::Heap::CollectGarbage'), codec]],
  ['identity', [{ symbol: 'JS:*checkChain file:///r/packages/trust/src/chain.ts:1:2', object: 'V8' }]],
  ['engine', [native('v8::internal::compiler::PipelineImpl::Run')]],
];

test('each sample has one category', () => {
  for (const [category, stack] of samples) {
    assert.equal(categoryOf(stack), category, stack.map(({ symbol }) => symbol).join(' < '));
  }
});

test('a table shares the time of a unit by samples', () => {
  const profile = {
    samples: 4,
    categories: new Map<Category, number>([
      ['send', 3],
      ['codec', 1],
    ]),
    functions: [['read packages/http2/src/frames.ts:1', 1]] as const,
  };
  const table = profileTable({
    title: 'Load',
    unit: 'µs per request',
    connections: 32,
    hops: [{ name: 'outbound', cost: 20, profile }],
    functions: 1,
  });
  assert.match(table, /^\| kernel: send \| 15\.00 \|$/m);
  assert.match(table, /^\| our codecs \| 5\.00 \|$/m);
  assert.match(table, /^\| OpenSSL \| 0\.00 \|$/m);
  assert.match(table, /^- 5\.00 read packages\/http2\/src\/frames\.ts:1$/m);
});
