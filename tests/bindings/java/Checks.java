import dev.edgekit.AnomalyStream;
import dev.edgekit.EdgekitException;
import dev.edgekit.Method;
import dev.edgekit.Segmenter;
import dev.edgekit.Session;
import dev.edgekit.TensorSpec;
import dev.edgekit.TextGenerator;
import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;

/** One case of the Java binding's tests: Checks CASE BUNDLE [ARGUMENT...]; prints lines that test_java.py reads. */
public final class Checks {
  private static final PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);

  public static void main(String[] arguments) throws Exception {
    File bundle = new File(arguments[1]);
    switch (arguments[0]) {
      case "tensors" -> tensors(bundle, arguments[2]);
      case "text" -> text(bundle, arguments[2]);
      case "segment" -> segment(bundle, arguments[2], Integer.parseInt(arguments[3]), Integer.parseInt(arguments[4]));
      case "anomalies" -> anomalies(bundle, arguments[2]);
      case "buffers" -> buffers(bundle);
      case "closed" -> closed(bundle);
      case "callbacks" -> callbacks(bundle, arguments[2]);
      case "threads" -> threads(bundle);
      case "memory" -> memory(bundle, Integer.parseInt(arguments[2]));
      default -> throw new IllegalArgumentException(arguments[0]);
    }
  }

  private static float[] floats(String file) throws IOException {
    ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(Paths.get(file))).order(ByteOrder.nativeOrder());
    float[] numbers = new float[bytes.remaining() / Float.BYTES];
    bytes.asFloatBuffer().get(numbers);
    return numbers;
  }

  private static void tensors(File bundle, String file) throws IOException {
    try (Session session = Session.open(bundle)) {
      out.println(Session.version() + " " + session.task());
      out.println(session.manifest().contains("\"sha256\""));
      Method method = session.methods().get(0);
      out.println(method.name + " " + method.inputs + " " + method.outputs);
      session.load(method.name);
      float[] input = floats(file);
      float[] copied = session.run(method, input)[0];
      ByteBuffer given = method.inputs.get(0).allocate();
      ByteBuffer taken = method.outputs.get(0).allocate();
      given.asFloatBuffer().put(input);
      session.run(method, new ByteBuffer[] {given}, new ByteBuffer[] {taken});
      float[] inPlace = new float[copied.length];
      taken.asFloatBuffer().get(inPlace);
      out.println(Arrays.equals(copied, inPlace));
      for (float number : copied) {
        out.println(Float.floatToIntBits(number));
      }
    }
  }

  private static void text(File bundle, String prompt) {
    try (Session session = Session.open(bundle); TextGenerator generator = session.textGenerator()) {
      StringBuilder pieces = new StringBuilder();
      TextGenerator.Generation went = generator.generate(prompt, 12, (token, piece) -> {
        pieces.append(piece);
        return true;
      });
      out.println(went.text.equals(pieces.toString()) + " " + went.reason + " " + went.promptTokens);
      out.println(Arrays.toString(went.tokens));
      out.println(went.text.replace("\n", "\\n"));
      // A state that is kept and put back goes on with the same tokens.
      byte[] state = session.saveState();
      session.useState("other");
      session.useState("default");
      session.restoreState(state);
      session.dropState("other");
      out.println(Arrays.toString(generator.generate(prompt, 5, 0.8, -1, null).tokens));
    }
  }

  private static void segment(File bundle, String file, int height, int width) throws IOException {
    try (Session session = Session.open(bundle); Segmenter segmenter = session.segmenter()) {
      Segmenter.Segmentation found = segmenter.run(floats(file), height, width);
      int on = 0;
      for (byte pixel : found.mask) {
        on += pixel;
      }
      out.println(found.objects.size() + " " + on);
      for (Segmenter.Found one : found.objects) {
        out.println(one.centroidRow + " " + one.centroidColumn + " " + one.top + " " + one.left + " " + one.bottom + " "
            + one.right + " " + one.area + " " + Float.floatToIntBits(one.peak) + " " + one.peakRow + " " + one.peakColumn);
      }
      segmenter.setThreshold(1e6);
      out.println(segmenter.run(floats(file), height, width, "pad").objects.size());
    }
  }

  private static void anomalies(File bundle, String file) throws IOException {
    try (Session session = Session.open(bundle); AnomalyStream stream = session.anomalyStream()) {
      int channels = stream.channels().size();
      out.println(stream.window() + " " + String.join(",", stream.channels()));
      float[] rows = floats(file);
      for (int at = 0; at < rows.length; at += channels) {
        AnomalyStream.Row row = stream.push(Arrays.copyOfRange(rows, at, at + channels));
        if (row == null) {
          out.println("filling");
        } else {
          out.println(Float.floatToIntBits(row.score) + " " + row.isAlarm() + " " + row.ranked[0] + " "
              + Float.floatToIntBits(row.errors[row.ranked[0]]));
        }
      }
      stream.reset();
      stream.useThreshold("0.5");
      out.println(stream.push(Arrays.copyOfRange(rows, 0, channels)) == null);
    }
  }

  /** What a call throws: its kind, whether it is about the request, and the sentence. */
  private static void refused(Runnable call) {
    try {
      call.run();
      out.println("nothing was thrown");
    } catch (EdgekitException error) {
      out.println("EdgekitException " + error.isUsage() + " " + error.getMessage());
    } catch (RuntimeException error) {
      out.println(error.getClass().getSimpleName() + " " + error.getMessage());
    }
  }

  private static void buffers(File bundle) {
    refused(() -> Session.open(new File(bundle, "absent")));
    try (Session session = Session.open(bundle)) {
      Method method = session.methods().get(0);
      TensorSpec input = method.inputs.get(0);
      TensorSpec output = method.outputs.get(0);
      int bytes = input.bytes();
      ByteBuffer[] outputs = {output.allocate()};
      ByteBuffer shifted = ByteBuffer.allocateDirect(bytes + 64).order(ByteOrder.nativeOrder());
      shifted.position(4).limit(bytes + 4);
      ByteBuffer[] wrong = {
        ByteBuffer.allocate(bytes + 16).order(ByteOrder.nativeOrder()).limit(bytes),
        ByteBuffer.allocateDirect(bytes + 16).order(ByteOrder.BIG_ENDIAN).limit(bytes),
        ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder()),
        input.allocate().limit(bytes - 4),
        shifted,
      };
      for (ByteBuffer one : wrong) {
        refused(() -> session.run(method, new ByteBuffer[] {one}, outputs));
      }
      refused(() -> session.run(method, new ByteBuffer[] {input.allocate()}, new ByteBuffer[] {outputs[0].asReadOnlyBuffer().order(ByteOrder.nativeOrder())}));
      refused(() -> session.run(method, new ByteBuffer[] {}, outputs));
      float[] infinite = new float[bytes / Float.BYTES];
      infinite[3] = Float.POSITIVE_INFINITY;
      refused(() -> session.run(method, infinite));
      refused(() -> session.run(method, new float[bytes]));
      refused(() -> session.method("absent"));
      refused(() -> session.load("gr\u00fc\u00df\ud83d\ude00"));
      refused(() -> session.textGenerator());
      refused(() -> session.restoreState(new byte[7]));
      refused(() -> session.load("forward\0"));
    }
    refused(() -> Session.open(new File(bundle + "\0.old")));
    refused(() -> Session.openSigned(bundle, new File(bundle, "absent.pub")));
  }

  private static void closed(File bundle) {
    Session session = Session.open(bundle);
    AnomalyStream stream = session.anomalyStream();
    session.close();
    session.close();
    refused(() -> stream.push(new float[stream.channels().size()]));
    refused(() -> session.load("forward"));
    refused(session::anomalyStream);
    stream.close();
    Session other = Session.open(bundle);
    AnomalyStream first = other.anomalyStream();
    first.close();
    refused(first::reset);
    refused(() -> other.anomalyStream().push(null));
    other.close();
  }

  private static void callbacks(File bundle, String prompt) throws InterruptedException {
    try (Session session = Session.open(bundle); TextGenerator generator = session.textGenerator()) {
      refused(() -> generator.generate(prompt, 12, (token, piece) -> {
        throw new IllegalArgumentException("the listener's own");
      }));
      out.println(generator.generate(prompt, 12, (token, piece) -> false).reason);
      refused(() -> generator.generate(prompt, 12, (token, piece) -> {
        generator.close();
        return true;
      }));
      refused(() -> generator.generate(prompt, 12, (token, piece) -> {
        session.close();
        return true;
      }));
      AtomicInteger tokens = new AtomicInteger();
      TextGenerator.Generation cancelled = generator.generate(prompt, 40, (token, piece) -> {
        if (tokens.incrementAndGet() == 3) {
          Thread thread = new Thread(generator::cancel);
          thread.start();
          try {
            thread.join();
          } catch (InterruptedException error) {
            throw new IllegalStateException(error);
          }
        }
        return true;
      });
      out.println(cancelled.reason + " " + cancelled.generatedTokens);
      out.println(generator.generate(prompt, 3, null).generatedTokens);
    }
  }

  private static void threads(File bundle) throws InterruptedException {
    try (Session session = Session.open(bundle)) {
      Method method = session.methods().get(0);
      float[] input = new float[method.inputs.get(0).bytes() / Float.BYTES];
      float[] wanted = session.run(method, input)[0];
      AtomicInteger right = new AtomicInteger();
      Thread[] threads = new Thread[4];
      for (int index = 0; index < threads.length; ++index) {
        threads[index] = new Thread(() -> {
          for (int run = 0; run < 50; ++run) {
            right.addAndGet(Arrays.equals(session.run(method, input)[0], wanted) ? 1 : 0);
          }
        });
        threads[index].start();
      }
      for (Thread thread : threads) {
        thread.join();
      }
      out.println(right.get());
    }
  }

  private static long residentBytes() throws IOException {
    System.gc();
    String statm = new String(Files.readAllBytes(Paths.get("/proc/self/statm")), StandardCharsets.US_ASCII);
    return Long.parseLong(statm.split(" ")[1]) * 4096;
  }

  /** Growth of the process over calls of a stream, and over sessions that are opened and closed, after as many before. */
  private static void memory(File bundle, int calls) throws IOException {
    long before = 0;
    for (int round = 0; round < 2; ++round) {
      before = residentBytes();
      try (Session session = Session.open(bundle); AnomalyStream stream = session.anomalyStream()) {
        float[] row = new float[stream.channels().size()];
        for (int call = 0; call < calls; ++call) {
          stream.push(row);
        }
      }
      for (int call = 0; call < calls / 100; ++call) {
        Session session = Session.open(bundle, false, true);
        session.anomalyStream();
        session.close();
      }
    }
    out.println(residentBytes() - before);
  }
}
