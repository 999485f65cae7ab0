/**
 * What happens next: a binary heap by time, and by order of scheduling within one time, so that a
 * seed replays the same world. A cancelled event stays in the heap, emptied, until its time.
 */
export interface SimEvent {
  time: number;
  order: number;
  /** Null once run or cancelled. */
  run: (() => void) | null;
}

export class EventQueue {
  #heap: SimEvent[] = [];
  #order = 0;

  get length(): number {
    return this.#heap.length;
  }

  add(time: number, run: () => void): SimEvent {
    const event = { time, order: this.#order++, run };
    this.put(event);
    return event;
  }

  /** An event that comes again: same object, later time. */
  again(event: SimEvent, time: number): void {
    event.time = time;
    event.order = this.#order++;
    this.put(event);
  }

  peek(): SimEvent | undefined {
    return this.#heap[0];
  }

  put(event: SimEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above] as SimEvent;
      if (before(parent, event)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = event;
  }

  take(): SimEvent | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || first === last) return first;
    const size = heap.length;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && before(heap[child + 1] as SimEvent, heap[child] as SimEvent)) child++;
      const below = heap[child] as SimEvent;
      if (before(last, below)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

const before = (a: SimEvent, b: SimEvent): boolean => a.time < b.time || (a.time === b.time && a.order < b.order);
