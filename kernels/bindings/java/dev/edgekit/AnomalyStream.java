package dev.edgekit;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;

/** Takes rows of sensors one at a time, and says which are anomalous. */
public final class AnomalyStream extends Handle {
  /** The answer for one row. */
  public static final class Row {
    public final float score;
    /** "sensor" or "systematic" where there is an alarm, else null. */
    public final String diagnosis;
    /** By channel: squared errors of the scaled readings. */
    public final float[] errors;
    /** Channels by falling error. */
    public final int[] ranked;

    Row(float score, String diagnosis, float[] errors, int[] ranked) {
      this.score = score;
      this.diagnosis = diagnosis;
      this.errors = errors;
      this.ranked = ranked;
    }

    public boolean isAlarm() {
      return diagnosis != null;
    }
  }

  private final Session session;
  private final int window;
  private final List<String> channels;

  AnomalyStream(Session session, long pointer) {
    super(session.turns, pointer);
    this.session = session;
    window = Native.streamWindow(pointer);
    List<String> names = new ArrayList<>();
    for (byte[] name : Native.streamChannels(pointer)) {
      names.add(Native.text(name));
    }
    channels = Collections.unmodifiableList(names);
  }

  /** Rows of a window: the first window - 1 rows have no answer. */
  public int window() {
    return window;
  }

  /** Names of the channels, in the order of a row. */
  public List<String> channels() {
    return channels;
  }

  /** A threshold by the name of the method that fitted it, or a number above 0 as text. */
  public void useThreshold(String threshold) {
    try (Turns turn = turns.take()) {
      Native.useThreshold(pointer(), Native.name(threshold));
    }
  }

  /** Takes one raw row (channels); null while fewer rows than a window have come. */
  public Row push(float[] row) {
    Objects.requireNonNull(row, "row");
    float[] errors = new float[channels.size()];
    int[] ranked = new int[channels.size()];
    byte[][] diagnosis = new byte[1][];
    float score;
    try (Turns turn = turns.take()) {
      score = Native.push(pointer(), row, errors, ranked, diagnosis);
    }
    if (Float.isNaN(score)) {
      return null;
    }
    return new Row(score, diagnosis[0] == null ? null : Native.text(diagnosis[0]), errors, ranked);
  }

  /** Forgets every row. */
  public void reset() {
    try (Turns turn = turns.take()) {
      Native.resetStream(pointer());
    }
  }

  @Override
  void release(long closed) {
    session.forget(this);
    Native.closeStream(closed);
  }
}
