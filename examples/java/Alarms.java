import dev.edgekit.AnomalyStream;
import dev.edgekit.EdgekitException;
import dev.edgekit.Session;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;

/**
 * Sensor rows from a CSV file, as they would come one by one: java ... Alarms.java BUNDLE READINGS.csv
 *
 * <p>The file has a line of names and then a row of numbers a line. Prints a line for each alarm: the row, its score,
 * and the channels that stand out most.
 */
public final class Alarms {
  private Alarms() {}

  public static void main(String[] arguments) throws IOException {
    if (arguments.length != 2) {
      System.err.println("usage: Alarms BUNDLE READINGS.csv");
      System.exit(2);
    }
    try (Session session = Session.open(new File(arguments[0])); AnomalyStream stream = session.anomalyStream()) {
      watch(stream, arguments[1]);
    } catch (EdgekitException error) {
      System.err.println(error.getMessage());
      System.exit(error.isUsage() ? 2 : 1);
    }
  }

  private static void watch(AnomalyStream stream, String file) throws IOException {
    try (BufferedReader lines = Files.newBufferedReader(Paths.get(file), StandardCharsets.UTF_8)) {
      lines.readLine(); // names
      int count = 0;
      int alarms = 0;
      for (String line = lines.readLine(); line != null; line = lines.readLine(), ++count) {
        String[] words = line.split(",");
        float[] row = new float[words.length];
        for (int channel = 0; channel < row.length; ++channel) {
          row[channel] = Float.parseFloat(words[channel].trim());
        }
        AnomalyStream.Row answer = stream.push(row);
        if (answer != null && answer.isAlarm()) {
          ++alarms;
          System.out.println("row " + count + ", score " + answer.score + ", " + answer.diagnosis + ": "
              + stream.channels().get(answer.ranked[0]) + ", " + stream.channels().get(answer.ranked[1]));
        }
      }
      System.out.println(count + " rows, " + alarms + " alarms");
    }
  }
}
