package android.content;

import android.content.res.AssetManager;
import java.io.File;

/** Stands in for Android's class of this name, as far as the example uses it: to compile against, not to run. */
public abstract class Context {
  public abstract AssetManager getAssets();

  public abstract File getFilesDir();
}
