import dev.edgekit.Method;
import dev.edgekit.Session;
import dev.edgekit.TensorSpec;
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** Overhead BUNDLE WARMUP RUNS: prints, a line a run, the nanoseconds of one run through C++, C and Java, in turns. */
public final class Overhead {
  static {
    System.loadLibrary("overhead");
  }

  private static native void open(byte[] folder);

  private static native long cpp();

  private static native long c();

  private static ByteBuffer[] buffers(List<TensorSpec> specs) {
    return specs.stream().map(TensorSpec::allocate).toArray(ByteBuffer[]::new);
  }

  public static void main(String[] arguments) {
    int warmup = Integer.parseInt(arguments[1]);
    int runs = Integer.parseInt(arguments[2]);
    Session.setThreads(1); // a pool of threads that wait for each other would hide what is measured
    open(arguments[0].getBytes(StandardCharsets.UTF_8));
    long[][] times = new long[runs][3];
    try (Session session = Session.open(new File(arguments[0]))) {
      Method method = session.methods().get(0);
      ByteBuffer[] inputs = buffers(method.inputs);
      ByteBuffer[] outputs = buffers(method.outputs);
      for (int run = -warmup; run < runs; ++run) {
        long[] time = times[Math.max(run, 0)];
        // Each is first, second and third as often as the others.
        for (int turn = 0; turn < 3; ++turn) {
          int way = Math.floorMod(run + turn, 3);
          if (way == 0) {
            time[0] = cpp();
          } else if (way == 1) {
            time[1] = c();
          } else {
            long start = System.nanoTime();
            session.run(method, inputs, outputs);
            time[2] = System.nanoTime() - start;
          }
        }
      }
    }
    StringBuilder lines = new StringBuilder();
    for (long[] time : times) {
      lines.append(time[0]).append(' ').append(time[1]).append(' ').append(time[2]).append('\n');
    }
    System.out.print(lines);
  }
}
