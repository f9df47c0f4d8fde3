import type { JsonObject } from './json.ts';

/** Answer of /version. Clients read the numbers to decide what they may use; the suffix says whose server this is. */
export const serverVersion: JsonObject = {
  major: '1',
  minor: '35',
  gitVersion: 'v1.35.0-mesh',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '1970-01-01T00:00:00Z',
  goVersion: '',
  compiler: 'node',
  platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};
