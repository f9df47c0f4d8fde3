/**
 * The ready members of one tier, with draws in proportion to weight.
 *
 * Adding and removing is O(1); the running sums that a draw searches are rebuilt by the first draw after a change.
 */
import type { Random } from '@mesh/clock/clock';
import type { Member } from './member.ts';

export class ReadyList<Target> {
  readonly #members: Member<Target>[] = [];
  /** sums[i] = weight of members 0 … i. */
  #sums: Float64Array = new Float64Array(8);
  #total = 0;
  #stale = true;
  #even = true;

  get ready(): number {
    return this.#members.length;
  }

  has(member: Member<Target>): boolean {
    return this.#members[member.readyIndex] === member;
  }

  add(member: Member<Target>): void {
    member.readyIndex = this.#members.length;
    this.#members.push(member);
    this.#stale = true;
  }

  remove(member: Member<Target>): void {
    const last = this.#members.pop();
    if (last !== undefined && last !== member) {
      this.#members[member.readyIndex] = last;
      last.readyIndex = member.readyIndex;
    }
    member.readyIndex = -1;
    this.#stale = true;
  }

  /** Weights changed. */
  touch(): void {
    this.#stale = true;
  }

  /**
   * Of two draws, most likely the cheaper. A member counts as `weight` replicas and the second draw leaves out the replica that
   * was drawn first, so that the two may be the same heavy member. `avoid` is taken only when it is the only one.
   */
  draw(now: number, random: Random, avoid: Member<Target> | undefined): Member<Target> | undefined {
    const count = this.#members.length;
    if (count === 0) return undefined;
    if (count === 1) return this.#members[0];
    if (this.#stale) this.#rebuild();
    const first = this.#members[this.#index(random, -1)];
    const second = this.#members[this.#index(random, first?.readyIndex ?? -1)];
    if (first === undefined || second === undefined) return first ?? second;
    if (avoid !== undefined) {
      if (first === avoid) return second === avoid ? this.#neighbour(avoid) : second;
      if (second === avoid) return first;
    }
    if (second === first) return first;
    // The odds are the fourth powers of the costs: 50 : 50 for equals, 16 : 1 at twice the cost. Always taking the cheaper
    // would send all of a client's traffic to whichever of two equals was measured lower last.
    const paid = (first.cost(now) ** 2) ** 2;
    return random.next() * (paid + (second.cost(now) ** 2) ** 2) < paid ? second : first;
  }

  #neighbour(member: Member<Target>): Member<Target> | undefined {
    return this.#members[(member.readyIndex + 1) % this.#members.length];
  }

  /** Index drawn by weight; `taken` is the member of which one replica is left out, −1 for none. */
  #index(random: Random, taken: number): number {
    const count = this.#members.length;
    if (this.#even) {
      if (taken === -1) return Math.floor(random.next() * count);
      const other = Math.floor(random.next() * (count - 1));
      return other >= taken ? other + 1 : other;
    }
    let point: number;
    if (taken === -1) {
      point = random.next() * this.#total;
    } else {
      const before = taken === 0 ? 0 : (this.#sums[taken - 1] as number);
      const left = Math.min(1, (this.#sums[taken] as number) - before);
      point = random.next() * (this.#total - left);
      if (point >= before) point += left;
    }
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (point < (this.#sums[middle] as number)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #rebuild(): void {
    const count = this.#members.length;
    if (this.#sums.length < count) this.#sums = new Float64Array(count * 2);
    this.#total = 0;
    this.#even = true;
    for (let index = 0; index < count; index++) {
      const { weight } = this.#members[index] as Member<Target>;
      // One replica each: leaving out the first draw leaves out the member, which needs no sums.
      if (weight !== 1) this.#even = false;
      this.#total += weight;
      this.#sums[index] = this.#total;
    }
    this.#stale = false;
  }
}
