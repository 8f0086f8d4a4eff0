package dev.edgekit;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** The functions of libedgekit_jni.so. Text is UTF-8 in bytes, which is not what JNI's own strings are. */
final class Native {
  static {
    System.loadLibrary("edgekit_jni");
  }

  private Native() {}

  static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  /** The same for what the library takes up to its first 0: names and files. */
  static byte[] name(String text) {
    if (text.indexOf('\0') >= 0) {
      throw new EdgekitException("a name has a 0 in it, at place " + text.indexOf('\0') + ": leave it out.", true);
    }
    return utf8(text);
  }

  static String text(byte[] utf8) {
    return new String(utf8, StandardCharsets.UTF_8);
  }

  // Called by the library.
  static RuntimeException failure(byte[] message, boolean usage) {
    return new EdgekitException(text(message), usage);
  }

  // Called by the library. True goes on.
  static boolean deliver(TextGenerator.Listener listener, long token, byte[] piece) {
    return listener.token(token, text(piece));
  }

  static native byte[] version();

  static native void setThreads(int count);

  /** Bytes from a direct buffer's start to its next multiple of `alignment`. */
  static native int misalignment(ByteBuffer buffer, int alignment);

  /** `publicKeys` is a file, or null. */
  static native long openSession(byte[] folder, boolean checkFiles, boolean checkFinite, byte[] publicKeys);

  static native void closeSession(long session);

  static native byte[] task(long session);

  static native byte[] manifest(long session);

  /** By method: its name, then of each input and output name, numbers (dtype, dynamic, shape...) and units. */
  static native Object[] methods(long session);

  /** How many inputs each method has, in the same order. */
  static native int[] inputCounts(long session);

  static native void load(long session, byte[] method);

  /** Gives the first dimension of each output. `rows` are those of the inputs; offsets are in bytes. */
  static native long[] run(long session, byte[] method, ByteBuffer[] inputs, int[] inputOffsets, long[] rows,
      ByteBuffer[] outputs, int[] outputOffsets);

  static native void useState(long session, byte[] name);

  static native void dropState(long session, byte[] name);

  static native void resetState(long session);

  static native byte[] saveState(long session);

  static native void restoreState(long session, byte[] state);

  static native long openText(long session);

  static native void closeText(long text);

  static native void cancelText(long text);

  static native void generate(long text, byte[] prompt, long maxTokens, double temperature, long seed,
      TextGenerator.Listener listener);

  /** {counts and seconds as double[4], tokens as long[], text as byte[], reason as byte[]}. */
  static native Object[] generation(long text);

  static native long openSegmenter(long session);

  static native void closeSegmenter(long segmenter);

  static native void setThreshold(long segmenter, double threshold);

  /** {10 numbers an object as double[], mask as byte[]}. */
  static native Object[] segment(long segmenter, float[] image, int height, int width, byte[] fit);

  static native long openStream(long session);

  static native void closeStream(long stream);

  static native int streamWindow(long stream);

  static native byte[][] streamChannels(long stream);

  static native void useThreshold(long stream, byte[] threshold);

  /** The row's score, or NaN if it has none; fills what is given. `diagnosis` gets that of an alarm, else null. */
  static native float push(long stream, float[] row, float[] errors, int[] ranked, byte[][] diagnosis);

  static native void resetStream(long stream);
}
