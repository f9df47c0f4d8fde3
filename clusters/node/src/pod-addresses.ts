import { cidrContains, cidrSize, formatIp, parseIp, type Cidr } from '@mesh/kube/cidr';

/**
 * Addresses of the pods of one node. A released address is used again only after all others were, so that a peer which
 * still knows a dead pod's address meets nobody rather than a stranger.
 */
export class PodAddresses {
  readonly #cidr: Cidr;
  readonly #holders: Map<number, string> = new Map();
  #next = firstPod;

  constructor(cidr: Cidr) {
    this.#cidr = cidr;
  }

  /** The address of `podUid`, allocating one; undefined when the prefix is full. */
  allocate(podUid: string): string | undefined {
    for (const [index, holder] of this.#holders) {
      if (holder === podUid) return this.#text(index);
    }
    const last = cidrSize(this.#cidr) - 2;
    for (let tried = firstPod; tried <= last; tried++) {
      const index = this.#next;
      this.#next = index >= last ? firstPod : index + 1;
      if (this.#holders.has(index)) continue;
      this.#holders.set(index, podUid);
      return this.#text(index);
    }
    return undefined;
  }

  release(address: string): void {
    const value = parseIp(address);
    if (value !== undefined && cidrContains(this.#cidr, value)) this.#holders.delete(value - this.#cidr.base);
  }

  get used(): number {
    return this.#holders.size;
  }

  #text(index: number): string {
    return formatIp(this.#cidr.base + index);
  }
}

/** .0 is the network's and .1 stays free for a gateway address. */
const firstPod = 2;
