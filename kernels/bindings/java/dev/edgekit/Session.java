package dev.edgekit;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * A loaded bundle, ready to run: a folder that `edgekit export` wrote.
 *
 * <pre>{@code
 * try (Session session = Session.open(new File("bundles/rpcanet-s1-android-arm64-int8"));
 *     Segmenter segmenter = session.segmenter()) {
 *   for (Segmenter.Found object : segmenter.run(pixels, 480, 640).objects) report(object);
 * }
 * }</pre>
 *
 * <p>What fails throws {@link EdgekitException} with one sentence. Calls of several threads on one session wait for each
 * other; sessions of their own run at once. A session is closed by who opened it, and closes what was opened on it.
 */
public final class Session extends Handle {
  private final List<Method> methods;
  private final List<Handle> opened = new ArrayList<>();

  private Session(long pointer) {
    super(new Turns(), pointer);
    List<Method> found = new ArrayList<>();
    Object[] described = Native.methods(pointer);
    int[] inputs = Native.inputCounts(pointer);
    for (int index = 0; index < described.length; ++index) {
      Object[] one = (Object[]) described[index];
      List<TensorSpec> specs = new ArrayList<>();
      for (int at = 1; at < one.length; at += 3) {
        specs.add(new TensorSpec(Native.text((byte[]) one[at]), (long[]) one[at + 1], Native.text((byte[]) one[at + 2])));
      }
      found.add(new Method(Native.text((byte[]) one[0]),
          Collections.unmodifiableList(new ArrayList<>(specs.subList(0, inputs[index]))),
          Collections.unmodifiableList(new ArrayList<>(specs.subList(inputs[index], specs.size())))));
    }
    methods = Collections.unmodifiableList(found);
  }

  /** Reads and checks a bundle. */
  public static Session open(File folder) {
    return open(folder, true, true);
  }

  /**
   * Reads a bundle.
   *
   * @param checkFiles compare every file with the manifest's hashes
   * @param checkFinite refuse float inputs with an infinity or NaN
   */
  public static Session open(File folder, boolean checkFiles, boolean checkFinite) {
    return new Session(Native.openSession(Native.name(folder.getPath()), checkFiles, checkFinite, null));
  }

  /**
   * Reads and checks a bundle that must be signed (`edgekit bundle sign`).
   *
   * @param publicKeys a file of public keys, one of which must have signed it
   */
  public static Session openSigned(File folder, File publicKeys) {
    byte[] keys = Native.name(publicKeys.getPath());
    return new Session(Native.openSession(Native.name(folder.getPath()), true, true, keys));
  }

  /** The library's version, such as "0.2.0". */
  public static String version() {
    return Native.text(Native.version());
  }

  /** Threads that operators share, for the whole process; 0: one for each core. Not while a session runs. */
  public static void setThreads(int count) {
    Native.setThreads(count);
  }

  /** The task, such as "segment". */
  public String task() {
    try (Turns turn = turns.take()) {
      return Native.text(Native.task(pointer()));
    }
  }

  /** The text of manifest.json. */
  public String manifest() {
    try (Turns turn = turns.take()) {
      return Native.text(Native.manifest(pointer()));
    }
  }

  public List<Method> methods() {
    return methods;
  }

  /** The method of a name. */
  public Method method(String name) {
    for (Method method : methods) {
      if (method.name.equals(name)) {
        return method;
      }
    }
    throw new EdgekitException("there is no method '" + name + "': methods() has them.", true);
  }

  /** Loads a method, so that its first run takes no longer than the others. */
  public void load(String method) {
    try (Turns turn = turns.take()) {
      Native.load(pointer(), Native.name(method));
    }
  }

  /**
   * Runs a method on buffers of {@link TensorSpec#allocate}, from position to limit; nothing is copied.
   *
   * @return the first dimension of each output, which may be smaller than its buffer
   */
  public long[] run(Method method, ByteBuffer[] inputs, ByteBuffer[] outputs) {
    long[] rows = new long[inputs.length];
    int[] inputOffsets = new int[inputs.length];
    int[] outputOffsets = new int[outputs.length];
    if (inputs.length != method.inputs.size() || outputs.length != method.outputs.size()) {
      throw new IllegalArgumentException("method '" + method.name + "' has " + method.inputs.size() + " inputs and "
          + method.outputs.size() + " outputs, " + inputs.length + " and " + outputs.length + " were given.");
    }
    for (int index = 0; index < inputs.length; ++index) {
      rows[index] = method.inputs.get(index).rowsIn(inputs[index], true);
      inputOffsets[index] = inputs[index].position();
    }
    for (int index = 0; index < outputs.length; ++index) {
      method.outputs.get(index).rowsIn(outputs[index], false);
      outputOffsets[index] = outputs[index].position();
    }
    try (Turns turn = turns.take()) {
      return Native.run(pointer(), Native.name(method.name), inputs, inputOffsets, rows, outputs, outputOffsets);
    }
  }

  /** Runs a method whose tensors are all float32, on copies. */
  public float[][] run(Method method, float[]... inputs) {
    ByteBuffer[] given = new ByteBuffer[inputs.length];
    ByteBuffer[] taken = new ByteBuffer[method.outputs.size()];
    for (int index = 0; index < Math.min(inputs.length, method.inputs.size()); ++index) {
      TensorSpec spec = float32(method.inputs.get(index));
      given[index] = spec.allocate();
      if (inputs[index].length > spec.bytes() / Float.BYTES) {
        throw new IllegalArgumentException("input '" + spec.name + "' has " + inputs[index].length + " numbers, at most "
            + spec.bytes() / Float.BYTES + " are taken.");
      }
      given[index].asFloatBuffer().put(inputs[index]);
      given[index].limit(inputs[index].length * Float.BYTES);
    }
    for (int index = 0; index < taken.length; ++index) {
      taken[index] = float32(method.outputs.get(index)).allocate();
    }
    long[] rows = run(method, given, taken);
    float[][] found = new float[taken.length][];
    for (int index = 0; index < taken.length; ++index) {
      TensorSpec spec = method.outputs.get(index);
      FloatBuffer numbers = taken[index].asFloatBuffer();
      long most = spec.shape().length == 0 ? 1 : spec.shape()[0];
      found[index] = new float[spec.dynamic ? (int) (numbers.remaining() / most * rows[index]) : numbers.remaining()];
      numbers.get(found[index]);
    }
    return found;
  }

  private static TensorSpec float32(TensorSpec spec) {
    if (spec.dtype != DType.FLOAT32) {
      throw new IllegalArgumentException("'" + spec.name + "' is " + spec.dtype + ": run the method on buffers.");
    }
    return spec;
  }

  /** Goes on with a named state, what methods remember from call to call; a new name's begins with zeros. */
  public void useState(String name) {
    try (Turns turn = turns.take()) {
      Native.useState(pointer(), Native.name(name));
    }
  }

  public void dropState(String name) {
    try (Turns turn = turns.take()) {
      Native.dropState(pointer(), Native.name(name));
    }
  }

  /** Zeros in the state in use. */
  public void resetState() {
    try (Turns turn = turns.take()) {
      Native.resetState(pointer());
    }
  }

  /** A copy of the state in use, which fits sessions of the same bundle only. */
  public byte[] saveState() {
    try (Turns turn = turns.take()) {
      return Native.saveState(pointer());
    }
  }

  public void restoreState(byte[] state) {
    try (Turns turn = turns.take()) {
      Native.restoreState(pointer(), Arrays.copyOf(state, state.length));
    }
  }

  /** Of a bundle for the task "generate_text". */
  public TextGenerator textGenerator() {
    try (Turns turn = turns.take()) {
      return kept(new TextGenerator(this, Native.openText(pointer())));
    }
  }

  /** Of a bundle for the task "segment". */
  public Segmenter segmenter() {
    try (Turns turn = turns.take()) {
      return kept(new Segmenter(this, Native.openSegmenter(pointer())));
    }
  }

  /** A fresh stream of a bundle for the task "detect_anomalies"; several may run beside each other. */
  public AnomalyStream anomalyStream() {
    try (Turns turn = turns.take()) {
      return kept(new AnomalyStream(this, Native.openStream(pointer())));
    }
  }

  private <T extends Handle> T kept(T handle) {
    opened.add(handle);
    return handle;
  }

  // Called by what was opened here, as it is closed.
  void forget(Handle handle) {
    opened.remove(handle);
  }

  // Closes what was opened here first.
  @Override
  void release(long closed) {
    for (Handle handle : new ArrayList<>(opened)) {
      handle.closeNow();
    }
    Native.closeSession(closed);
  }
}
