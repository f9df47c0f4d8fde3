import type { KubeClient } from './client.ts';
import { KubeApiError } from './api-error.ts';
import { customResource, parseApiVersion, type ResourceType } from './resources.ts';

/** A type the server serves, with what it allows. */
export interface ServedResource {
  type: ResourceType;
  verbs: readonly string[];
}

interface ResourceListBody {
  groupVersion: string;
  resources: { name: string; kind: string; namespaced: boolean; verbs: string[] }[];
}

interface GroupListBody {
  groups: {
    name: string;
    preferredVersion?: { groupVersion: string };
    versions: { groupVersion: string }[];
  }[];
}

/**
 * All types of the server, subresources left out, each group in its preferred version. Groups that cannot be read,
 * such as those of a broken aggregated API, are named in `failed`.
 */
export async function discover(client: KubeClient): Promise<{ served: ServedResource[]; failed: string[] }> {
  const { groups } = await read<GroupListBody>(client, '/apis');
  const versions = ['v1'];
  for (const { preferredVersion, versions: all } of groups) {
    const chosen = preferredVersion?.groupVersion ?? all[0]?.groupVersion;
    if (chosen !== undefined) versions.push(chosen);
  }
  const served: ServedResource[] = [];
  const failed: string[] = [];
  await Promise.all(
    versions.map(async (version) => {
      try {
        const path = version === 'v1' ? '/api/v1' : `/apis/${version}`;
        served.push(...toServed(await read<ResourceListBody>(client, path)));
      } catch (thrown) {
        if (!(thrown instanceof KubeApiError)) throw thrown;
        failed.push(version);
      }
    }),
  );
  return { served, failed };
}

function toServed({ groupVersion, resources }: ResourceListBody): ServedResource[] {
  return resources
    .filter(({ name }) => !name.includes('/'))
    .map(({ name, kind, namespaced, verbs }) => ({
      type: customResource({ ...parseApiVersion(groupVersion), kind, plural: name, namespaced }),
      verbs,
    }));
}

async function read<Body>(client: KubeClient, path: string): Promise<Body> {
  const { status, body } = await client.raw('GET', path);
  if (status !== 200) throw new KubeApiError({ status, request: `GET ${path}`, body });
  return JSON.parse(body) as Body;
}
