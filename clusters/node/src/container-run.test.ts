import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Container } from '@mesh/kube/types';
import { FakeClock } from '@mesh/testkit/fake-clock';
import { ContainerRun, type RestartPolicy } from './container-run.ts';
import type { ContainerExit, ContainerProcess } from './container-runtime.ts';
import { RestartBackoff } from './restart-backoff.ts';

class ScriptedProcess implements ContainerProcess {
  readonly exited: Promise<ContainerExit>;
  readonly signals: string[] = [];
  /** Ends on SIGTERM, as a polite program. */
  polite = true;
  #end: (exit: ContainerExit) => void = () => {};

  constructor() {
    this.exited = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  exit(code: number): void {
    this.#end({ code, signal: 0 });
  }

  signal(name: NodeJS.Signals): void {
    this.signals.push(name);
    if (name === 'SIGKILL') this.#end({ code: 137, signal: 9 });
    else if (this.polite) this.#end({ code: 0, signal: 0 });
  }

  /** Commands that were run inside, and what the next ones end with. */
  readonly commands: string[] = [];
  code: Promise<number> = Promise.resolve(0);

  execute(command: readonly string[]): Promise<number> {
    this.commands.push(command.join(' '));
    return this.code;
  }
}

function begin(
  restartPolicy: RestartPolicy,
  container: Partial<Container> = {},
  prepare: (inside: { code: Promise<number> }) => void = () => {},
) {
  const clock = new FakeClock();
  const processes: ScriptedProcess[] = [];
  const events: string[] = [];
  const faults: string[] = [];
  const health = { answer: undefined as string | undefined };
  const inside = { code: Promise.resolve(0) };
  const run = new ContainerRun({
    container: { name: 'app', ...container },
    restartPolicy,
    clock,
    backoff: { baseMs: 1000, capMs: 4000 },
    graceSeconds: 5,
    onChange: () => {},
    onEvent: (reason) => events.push(reason),
    checks: () => () => Promise.resolve(health.answer),
    start: () => {
      const fault = faults.shift();
      if (fault !== undefined) return Promise.resolve({ fault });
      const process = new ScriptedProcess();
      process.code = inside.code;
      processes.push(process);
      return Promise.resolve(process);
    },
  });
  prepare(inside);
  run.launch();
  return { run, clock, processes, events, faults, health, inside };
}

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
};

void test('back-off doubles to its cap, and starts over after ten good minutes', () => {
  const backoff = new RestartBackoff({ baseMs: 1000, capMs: 4000 });
  assert.deepEqual(
    [0, 0, 0, 0].map((ran) => backoff.next(ran)),
    [1000, 2000, 4000, 4000],
  );
  assert.equal(backoff.next(10 * 60_000), 1000);
});

void test('a container that fails is restarted after its back-off, and says so meanwhile', async () => {
  const { run, clock, processes, events } = begin('Always');
  await settle();
  processes[0]?.exit(3);
  await settle();
  assert.deepEqual(run.state, {
    kind: 'waiting',
    reason: 'CrashLoopBackOff',
    message: 'back-off 1s restarting failed container=app',
  });
  assert.equal(run.lastState?.kind === 'terminated' ? run.lastState.exitCode : -1, 3);
  await clock.advanceAsync(999);
  assert.equal(processes.length, 1);
  await clock.advanceAsync(1);
  await settle();
  assert.equal(run.state.kind, 'running');
  assert.equal(run.restartCount, 1);
  assert.deepEqual(events, ['BackOff']);
});

void test('OnFailure restarts failures alone; Never restarts nothing', async () => {
  const good = begin('OnFailure');
  await settle();
  good.processes[0]?.exit(0);
  await good.run.finished;
  assert.ok(good.run.succeeded);
  const bad = begin('Never');
  await settle();
  bad.processes[0]?.exit(1);
  await bad.run.finished;
  assert.ok(!bad.run.succeeded);
});

void test('stop asks politely, and kills when the grace is over', async () => {
  const { run, clock, processes } = begin('Always');
  await settle();
  const [process] = processes;
  assert.ok(process !== undefined);
  process.polite = false;
  const stopped = run.stop(3000);
  await clock.advanceAsync(2999);
  assert.deepEqual(process.signals, ['SIGTERM']);
  await clock.advanceAsync(1);
  await stopped;
  assert.deepEqual(process.signals, ['SIGTERM', 'SIGKILL']);
  assert.equal(run.state.kind === 'terminated' ? run.state.exitCode : -1, 137);
});

void test('stop during a back-off starts nothing more', async () => {
  const { run, clock, processes } = begin('Always');
  await settle();
  processes[0]?.exit(1);
  await settle();
  await run.stop(1000);
  await clock.advanceAsync(10_000, 1000);
  assert.equal(processes.length, 1);
  assert.equal(run.state.kind, 'terminated');
});

void test('a configuration fault is shown, and tried again until it is mended', async () => {
  const { run, clock, processes, faults, events } = begin('Always');
  faults.push('secret "x" not found', 'secret "x" not found');
  // The first start was already under way before the faults were known.
  await settle();
  processes[0]?.exit(1);
  await settle();
  await clock.advanceAsync(1000);
  await settle();
  assert.deepEqual(run.state, {
    kind: 'waiting',
    reason: 'CreateContainerConfigError',
    message: 'secret "x" not found',
  });
  await clock.advanceAsync(500);
  await settle();
  await clock.advanceAsync(500);
  await settle();
  assert.equal(run.state.kind, 'running');
  assert.deepEqual(events, ['BackOff', 'Failed'], 'the same fault is told once');
});

void test('ready only while the readiness probe passes; a dead liveness probe ends the process', async () => {
  const { run, clock, processes, health, events } = begin('Always', {
    readinessProbe: { tcpSocket: { port: 1 }, periodSeconds: 1, failureThreshold: 1 },
    livenessProbe: { tcpSocket: { port: 1 }, periodSeconds: 1, failureThreshold: 2 },
  });
  await settle();
  assert.equal(run.ready, false);
  await clock.advanceAsync(100, 50);
  assert.equal(run.ready, true);
  health.answer = 'refused';
  await clock.advanceAsync(1000, 100);
  assert.equal(run.ready, false);
  await clock.advanceAsync(1000, 100);
  await settle();
  assert.deepEqual(processes[0]?.signals, ['SIGTERM']);
  assert.deepEqual(events.slice(-2), ['Killing', 'BackOff']);
});

void test('whenStarted waits for the startup probe', async () => {
  const { run, clock, health } = begin('Always', {
    startupProbe: { tcpSocket: { port: 1 }, periodSeconds: 1 },
  });
  health.answer = 'not yet';
  let started = false;
  void run.whenStarted().then(() => {
    started = true;
  });
  await settle();
  await clock.advanceAsync(500, 100);
  assert.equal(started, false);
  health.answer = undefined;
  await clock.advanceAsync(500, 100);
  await settle();
  assert.equal(started, true);
});

void test('a container is started once its postStart hook has ended, and ended when that fails', async () => {
  const gate = Promise.withResolvers<number>();
  const lifecycle = { postStart: { exec: { command: ['warm', 'up'] } } };
  const { run, clock, processes, inside, events } = begin('Always', { lifecycle }, (hook) => {
    hook.code = gate.promise;
  });
  await settle();
  assert.deepEqual(processes[0]?.commands, ['warm up']);
  assert.deepEqual([run.state.kind, run.started, run.ready], ['running', false, false]);
  inside.code = Promise.resolve(3);
  gate.resolve(0);
  await settle();
  assert.deepEqual([run.started, run.ready], [true, true]);
  processes[0]?.exit(1);
  await settle();
  await clock.advanceAsync(1000);
  await settle();
  assert.deepEqual(processes[1]?.signals, ['SIGTERM']);
  assert.deepEqual(events, ['BackOff', 'FailedPostStartHook', 'BackOff']);
  assert.equal(run.started, false);
});

void test('preStop is run once, also over HTTP, and a probe may give less grace', async () => {
  const lifecycle = { preStop: { httpGet: { port: 1, path: '/quit' } } };
  const { run, clock, processes, health, events } = begin('Always', {
    lifecycle,
    livenessProbe: {
      ...{ tcpSocket: { port: 1 }, periodSeconds: 1, failureThreshold: 1 },
      terminationGracePeriodSeconds: 2,
    },
  });
  await settle();
  const [process] = processes;
  assert.ok(process !== undefined);
  process.polite = false;
  health.answer = 'refused';
  await clock.advanceAsync(1000, 100);
  await settle();
  assert.deepEqual(process.signals, ['SIGTERM']);
  const stopped = run.stop(30_000);
  await settle();
  assert.equal(events.filter((event) => event === 'FailedPreStopHook').length, 1);
  await clock.advanceAsync(2000, 100);
  await stopped;
  assert.deepEqual(process.signals, ['SIGTERM', 'SIGTERM', 'SIGKILL']);
});

void test('a hook that cannot even be tried fails alone', async () => {
  const exec = { command: ['no\0command'] };
  const { run, processes, events } = begin('Never', { lifecycle: { preStop: { exec } } });
  await settle();
  assert.ok(processes[0] !== undefined);
  processes[0].code = Promise.reject(new TypeError('a string without null bytes was expected'));
  await run.stop(1000);
  assert.deepEqual(processes[0].signals, ['SIGTERM']);
  assert.deepEqual(events, ['FailedPreStopHook']);
});
