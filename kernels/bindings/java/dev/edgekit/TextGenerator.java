package dev.edgekit;

/** Goes on with texts, token by token. */
public final class TextGenerator extends Handle {
  /** Takes what is generated as it comes. It must not use the session. */
  public interface Listener {
    /**
     * @param token its number
     * @param piece what it adds to the text, which may be nothing
     * @return whether the text goes on
     */
    boolean token(long token, String piece);
  }

  /** How a text went. */
  public static final class Generation {
    public final long promptTokens;
    public final long generatedTokens;
    /** In the program. */
    public final double promptSeconds;
    public final double generatedSeconds;
    /** Those that were generated. */
    public final long[] tokens;
    public final String text;
    /** Why it ended: "end", "length", "context" or "cancelled". */
    public final String reason;

    Generation(Object[] described) {
      double[] numbers = (double[]) described[0];
      promptTokens = (long) numbers[0];
      generatedTokens = (long) numbers[1];
      promptSeconds = numbers[2];
      generatedSeconds = numbers[3];
      tokens = (long[]) described[1];
      text = Native.text((byte[]) described[2]);
      reason = Native.text((byte[]) described[3]);
    }
  }

  private final Session session;
  // A text is cancelled while a call goes on: that it is still there is not for the turns to say.
  private final Object alive = new Object();
  private long cancellable;

  TextGenerator(Session session, long pointer) {
    super(session.turns, pointer);
    this.session = session;
    cancellable = pointer;
  }

  /** Goes on with a prompt, with the likeliest tokens. */
  public Generation generate(String prompt, long maxTokens, Listener listener) {
    return generate(prompt, maxTokens, 0, 0, listener);
  }

  /**
   * Goes on with a prompt until the text's end. What the listener throws ends the text, and is thrown here.
   *
   * @param maxTokens most that are generated, 1 or more
   * @param temperature 0 takes the likeliest token; otherwise tokens are drawn, the flatter the higher
   * @param seed of the draws, which are the same on every machine
   * @param listener may be null
   */
  public Generation generate(String prompt, long maxTokens, double temperature, long seed, Listener listener) {
    try (Turns turn = turns.take()) {
      Native.generate(pointer(), Native.utf8(prompt), maxTokens, temperature, seed, listener);
      return new Generation(Native.generation(pointer()));
    }
  }

  /** Ends the text that goes on before its next token; from any thread, and from the listener. */
  public void cancel() {
    synchronized (alive) {
      if (cancellable != 0) {
        Native.cancelText(cancellable);
      }
    }
  }

  @Override
  void release(long closed) {
    synchronized (alive) {
      cancellable = 0;
    }
    session.forget(this);
    Native.closeText(closed);
  }
}
