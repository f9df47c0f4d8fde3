import { customResource } from '@mesh/kube/resources';
import { type Link, linkGroup, linkVersion } from './link.ts';

/** Links, for clients and informers. */
export const links = customResource<Link>({
  group: linkGroup,
  version: linkVersion,
  kind: 'Link',
  plural: 'links',
  namespaced: true,
});
