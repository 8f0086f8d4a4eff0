package dev.edgekit;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** Finds objects in gray images. */
public final class Segmenter extends Handle {
  /** One object. Rows and columns count from 0 at the top left; a pixel's centre is at a whole number. */
  public static final class Found {
    public final double centroidRow;
    public final double centroidColumn;
    public final int top;
    public final int left;
    /** Not included. */
    public final int bottom;
    /** Not included. */
    public final int right;
    /** In pixels. */
    public final long area;
    /** Its highest logit, and where that is. */
    public final float peak;
    public final int peakRow;
    public final int peakColumn;

    Found(double[] numbers, int at) {
      centroidRow = numbers[at];
      centroidColumn = numbers[at + 1];
      top = (int) numbers[at + 2];
      left = (int) numbers[at + 3];
      bottom = (int) numbers[at + 4];
      right = (int) numbers[at + 5];
      area = (long) numbers[at + 6];
      peak = (float) numbers[at + 7];
      peakRow = (int) numbers[at + 8];
      peakColumn = (int) numbers[at + 9];
    }
  }

  /** What was found in one image. */
  public static final class Segmentation {
    /** The highest peak first. */
    public final List<Found> objects;
    /** Height x width: 1 on an object, else 0. */
    public final byte[] mask;

    Segmentation(Object[] described) {
      double[] numbers = (double[]) described[0];
      List<Found> found = new ArrayList<>();
      for (int at = 0; at < numbers.length; at += NUMBERS) {
        found.add(new Found(numbers, at));
      }
      objects = Collections.unmodifiableList(found);
      mask = (byte[]) described[1];
    }
  }

  private static final int NUMBERS = 10;

  private final Session session;

  Segmenter(Session session, long pointer) {
    super(session.turns, pointer);
    this.session = session;
  }

  /** An object is where a logit is above it; at first the bundle's own. */
  public void setThreshold(double threshold) {
    try (Turns turn = turns.take()) {
      Native.setThreshold(pointer(), threshold);
    }
  }

  /** Finds the objects of an image (height, width), row by row, full scale 1, resized to the program's frame. */
  public Segmentation run(float[] image, int height, int width) {
    return run(image, height, width, "resize");
  }

  /**
   * @param fit how the image comes to the program's frame: "resize", "pad" or "tile"
   */
  public Segmentation run(float[] image, int height, int width, String fit) {
    if (height < 1 || width < 1 || (long) height * width != image.length) {
      throw new IllegalArgumentException(
          "an image of " + height + " x " + width + " has other than " + image.length + " numbers: give its own size.");
    }
    try (Turns turn = turns.take()) {
      return new Segmentation(Native.segment(pointer(), image, height, width, Native.name(fit)));
    }
  }

  @Override
  void release(long closed) {
    session.forget(this);
    Native.closeSegmenter(closed);
  }
}
