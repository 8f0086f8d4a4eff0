package dev.edgekit;

import java.io.Closeable;

/** Something native that is open until it is closed. */
abstract class Handle implements Closeable {
  final Turns turns;
  private long pointer;

  Handle(Turns turns, long pointer) {
    this.turns = turns;
    this.pointer = pointer;
  }

  /** The native pointer; called while this thread has its turn. */
  long pointer() {
    if (pointer == 0) {
      throw new IllegalStateException(getClass().getSimpleName() + " was closed: open another.");
    }
    return pointer;
  }

  /** Gives back what is native. Closing again does nothing. */
  @Override
  public void close() {
    try (Turns turn = turns.take()) {
      closeNow();
    }
  }

  /** The same while this thread has its turn. */
  final void closeNow() {
    if (pointer != 0) {
      long closed = pointer;
      pointer = 0;
      release(closed);
    }
  }

  abstract void release(long closed);
}
