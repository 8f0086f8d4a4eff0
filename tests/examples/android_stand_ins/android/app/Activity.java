package android.app;

import android.content.Context;
import android.content.res.AssetManager;
import android.os.Bundle;
import android.view.View;
import java.io.File;

public class Activity extends Context {
  protected void onCreate(Bundle saved) {}

  public void setContentView(View view) {}

  public final void runOnUiThread(Runnable action) {}

  @Override
  public AssetManager getAssets() {
    return null;
  }

  @Override
  public File getFilesDir() {
    return null;
  }
}
