import { customResource } from '@mesh/kube/resources';
import { type Link, linkGroup, linkVersion } from '@mesh/multicluster/link';

export const links = customResource<Link>({
  group: linkGroup,
  version: linkVersion,
  kind: 'Link',
  plural: 'links',
  namespaced: true,
});
