/** Runs each task once at the end of the current turn of the event loop, after all sockets that were ready. */
export interface TurnTask {
  onTurnEnd(): void;
}

let waiting: TurnTask[] = [];

function runAll(): void {
  const tasks = waiting;
  waiting = [];
  for (const task of tasks) task.onTurnEnd();
}

/** The caller makes sure that a task is not added twice before it ran. */
export function atTurnEnd(task: TurnTask): void {
  if (waiting.length === 0) setImmediate(runAll);
  waiting.push(task);
}
