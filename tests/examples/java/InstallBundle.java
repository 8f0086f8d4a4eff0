import dev.edgekit.example.BundleInstaller;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;

/** The Android example's installer on folders that stand for an app's: InstallBundle ASSETS BUNDLE FILES. */
public final class InstallBundle {
  public static void main(String[] arguments) {
    File root = new File(arguments[0]);
    BundleInstaller.Assets assets = new BundleInstaller.Assets() {
      @Override
      public String[] list(String path) {
        String[] names = new File(root, path).list();
        return names == null ? new String[0] : names; // as AssetManager does
      }

      @Override
      public InputStream open(String path) throws IOException {
        return new FileInputStream(new File(root, path));
      }
    };
    try {
      System.out.println(BundleInstaller.install(assets, arguments[1], new File(arguments[2])));
    } catch (IOException error) {
      System.out.println(error.getMessage());
    }
  }
}
