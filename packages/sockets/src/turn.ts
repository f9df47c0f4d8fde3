/** Runs each task once at the end of the current turn of the event loop, after all sockets that were ready. */
export interface TurnTask {
  onTurnEnd(): void;
}

let waiting: TurnTask[] = [];
let last: TurnTask[] = [];

function runAll(): void {
  const [tasks, lastTasks] = [waiting, last];
  waiting = [];
  last = [];
  for (const task of tasks) task.onTurnEnd();
  for (const task of lastTasks) task.onTurnEnd();
}

/** The caller makes sure that a task is not added twice before it ran. */
export function atTurnEnd(task: TurnTask): void {
  if (waiting.length === 0 && last.length === 0) setImmediate(runAll);
  waiting.push(task);
}

/** As `atTurnEnd`, behind all of its tasks: what takes long does not hold up the bytes that they write. */
export function atTurnEndLast(task: TurnTask): void {
  if (waiting.length === 0 && last.length === 0) setImmediate(runAll);
  last.push(task);
}
