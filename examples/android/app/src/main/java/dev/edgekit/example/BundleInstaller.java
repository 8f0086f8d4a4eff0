package dev.edgekit.example;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.util.Arrays;

/**
 * Brings a bundle out of an app's assets into its files: a session maps files, and assets are none.
 *
 * <p>What is copied is not checked here: the session compares every file with the manifest's hashes when it is opened.
 */
public final class BundleInstaller {
  /** What is used of Android's AssetManager. */
  public interface Assets {
    /** Names in a folder; none for a file. */
    String[] list(String path) throws IOException;

    InputStream open(String path) throws IOException;
  }

  private static final String MANIFEST = "manifest.json";

  private BundleInstaller() {}

  /**
   * The bundle's folder in `files`. It is copied where it is not there yet, or is another one: a manifest has the hashes
   * of all files, so that two bundles with the same manifest are the same. It is whole or absent.
   *
   * @param bundle its folder's name in the assets
   */
  public static synchronized File install(Assets assets, String bundle, File files) throws IOException {
    File installed = new File(files, bundle);
    File manifest = new File(installed, MANIFEST);
    if (manifest.isFile()) {
      byte[] wanted;
      try (InputStream from = assets.open(bundle + "/" + MANIFEST)) {
        wanted = all(from);
      }
      if (Arrays.equals(Files.readAllBytes(manifest.toPath()), wanted)) {
        return installed;
      }
    }
    File partial = new File(files, bundle + ".partial");
    remove(partial);
    copy(assets, bundle, partial);
    remove(installed);
    if (!partial.renameTo(installed)) {
      throw new IOException(partial + " cannot be renamed to " + installed + ": see whether the app may write there.");
    }
    return installed;
  }

  private static void copy(Assets assets, String path, File to) throws IOException {
    String[] names = assets.list(path);
    if (names.length == 0) {
      try (InputStream from = assets.open(path); OutputStream file = new FileOutputStream(to)) {
        pour(from, file);
      } catch (FileNotFoundException error) {
        throw new IOException("the app's assets have no bundle '" + path + "': copy its folder there.", error);
      }
      return;
    }
    if (!to.mkdirs()) {
      throw new IOException(to + " cannot be made: see whether the app may write there.");
    }
    for (String name : names) {
      copy(assets, path + "/" + name, new File(to, name));
    }
  }

  private static byte[] all(InputStream from) throws IOException {
    ByteArrayOutputStream found = new ByteArrayOutputStream();
    pour(from, found);
    return found.toByteArray();
  }

  private static void pour(InputStream from, OutputStream to) throws IOException {
    byte[] buffer = new byte[1 << 16];
    for (int count = from.read(buffer); count >= 0; count = from.read(buffer)) {
      to.write(buffer, 0, count);
    }
  }

  private static void remove(File file) throws IOException {
    File[] children = file.listFiles();
    if (children != null) {
      for (File child : children) {
        remove(child);
      }
    }
    if (file.exists() && !file.delete()) {
      throw new IOException(file + " cannot be removed: see whether the app may write there.");
    }
  }
}
