/** One watch: past events that the client missed, then each new one, as lines of JSON on an open response. */
import type { ServerResponse } from 'node:http';
import type { Clock, Random } from '@mesh/clock/clock';
import type { LimitLedger } from '@mesh/limits/limits';
import type { Json } from './json.ts';
import type { ApiserverLimit } from './limits.ts';
import type { KubeObject } from './object.ts';
import { groupVersion, storageName, type ResourceInfo } from './resources.ts';
import type { Matcher } from './selectors.ts';
import { expired } from './status.ts';
import type { Store, StoreEvent } from './store.ts';

export interface WatchOptions {
  store: Store;
  clock: Clock;
  random: Random;
  limits: LimitLedger<ApiserverLimit>;
  info: ResourceInfo;
  namespace: string;
  matches: Matcher;
  /** Undefined starts with the present state as ADDED events. */
  version: number | undefined;
  bookmarks: boolean;
  /** The client asked for the present state and a bookmark that ends it. */
  initialEvents: boolean;
  timeoutSeconds: number | undefined;
  /** The text of an object in the form the client asked for. */
  encode(object: KubeObject): string;
}

const bookmarkEveryMs = 60_000;
const defaultTimeoutSeconds = 1800;

type Line = [type: string, object: string];

export function serveWatch(response: ServerResponse, options: WatchOptions): void {
  const { store, clock, random, limits, info, namespace, matches, encode } = options;
  const queue: string[] = [];
  let blocked = false;
  let ended = false;

  const pump = (): void => {
    while (!blocked && queue.length > 0) {
      const chunk = queue.join('');
      queue.length = 0;
      blocked = !response.write(chunk);
    }
    if (ended && queue.length === 0) response.end();
  };
  const send = ([type, object]: Line): void => {
    queue.push(`{"type":"${type}","object":${object}}\n`);
  };
  const bookmark = (annotations?: Json): void => {
    send([
      'BOOKMARK',
      JSON.stringify({
        kind: info.kind,
        apiVersion: groupVersion(info),
        metadata: {
          resourceVersion: String(store.version),
          ...(annotations === undefined ? {} : { annotations }),
        },
      }),
    ]);
  };
  const onEvent = (event: StoreEvent): void => {
    if (ended || event.resource !== storageName(info)) return;
    const line = lineOf(event, namespace, matches, encode);
    if (line === undefined) return;
    if (queue.length >= limits.values.apiserver_watch_queue) {
      limits.hit('apiserver_watch_queue');
      response.destroy();
      return;
    }
    send(line);
    pump();
  };

  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-cache, private' });
  response.flushHeaders();
  response.on('drain', () => {
    blocked = false;
    pump();
  });
  const { version } = options;
  const missed = version === undefined ? [] : store.eventsAfter(storageName(info), version);
  if (missed === undefined) {
    const status = expired(`too old resource version: ${version} (${store.compactedVersion})`).status;
    response.end(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
    return;
  }
  if (version === undefined) {
    for (const object of store.list(storageName(info), namespace)) {
      if (matches(object)) send(['ADDED', encode(object)]);
    }
    if (options.initialEvents) bookmark({ 'k8s.io/initial-events-end': 'true' });
  }
  for (const event of missed) {
    const line = lineOf(event, namespace, matches, encode);
    if (line !== undefined) send(line);
  }
  pump();

  const unsubscribe = store.subscribe(onEvent);
  const seconds = options.timeoutSeconds ?? defaultTimeoutSeconds * (1 + random.next());
  const bookmarks = clock.every(
    bookmarkEveryMs,
    () => {
      if (!options.bookmarks || ended) return;
      bookmark();
      pump();
    },
    true,
  );
  const timeout = clock.after(
    seconds * 1000,
    () => {
      if (options.bookmarks) bookmark();
      ended = true;
      pump();
    },
    true,
  );
  response.on('close', () => {
    ended = true;
    unsubscribe();
    bookmarks.cancel();
    timeout.cancel();
  });
}

/** An object that begins or ceases to match a selector appears or disappears for this watcher. */
function lineOf(
  { type, object, previous }: StoreEvent,
  namespace: string,
  matches: Matcher,
  encode: (object: KubeObject) => string,
): Line | undefined {
  if (namespace !== '' && object.metadata.namespace !== namespace) return undefined;
  const before = previous !== undefined && matches(previous);
  const after = type !== 'DELETED' && matches(object);
  if (after) return [before ? 'MODIFIED' : 'ADDED', encode(object)];
  if (!before) return undefined;
  if (type === 'DELETED') return ['DELETED', encode(object)];
  // The last state that matched, at the version at which it ceased to.
  const last = {
    ...previous,
    metadata: { ...previous.metadata, resourceVersion: object.metadata.resourceVersion },
  };
  return ['DELETED', encode(last as KubeObject)];
}
