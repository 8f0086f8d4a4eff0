package dev.edgekit;

/** What failed: one sentence that says what is wrong, where, and what to do. */
public final class EdgekitException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final boolean usage;

  EdgekitException(String message, boolean usage) {
    super(message);
    this.usage = usage;
  }

  /** Whether the request made no sense (an unknown name, a shape that no method takes); otherwise the work failed. */
  public boolean isUsage() {
    return usage;
  }
}
