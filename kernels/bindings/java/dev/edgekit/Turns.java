package dev.edgekit;

import java.util.concurrent.locks.ReentrantLock;

/** One call at a time on a session and what was opened on it: calls of several threads wait for each other. */
final class Turns implements AutoCloseable {
  private final ReentrantLock lock = new ReentrantLock();

  /** Begins a call; closing this ends it. */
  Turns take() {
    lock.lock();
    if (lock.getHoldCount() > 1) {
      lock.unlock();
      throw new IllegalStateException(
          "this session is in a call of this thread, whose callback cannot use it: return from the callback first.");
    }
    return this;
  }

  @Override
  public void close() {
    lock.unlock();
  }
}
