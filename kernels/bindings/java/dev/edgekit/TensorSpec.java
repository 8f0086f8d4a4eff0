package dev.edgekit;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/** What a method takes or gives. */
public final class TensorSpec {
  // Kernels read whole vectors: this many bytes behind an input's end are readable, and tensors begin at multiples of it.
  static final int VECTOR = 16;

  public final String name;
  public final DType dtype;
  /** Whether the first dimension may be anything from 1 to what the shape says. */
  public final boolean dynamic;
  /** What the numbers mean; "" if unknown. */
  public final String units;

  private final long[] shape;

  // Called by Native: `numbers` are the dtype, whether it is dynamic, and the shape.
  TensorSpec(String name, long[] numbers, String units) {
    this.name = name;
    this.dtype = DType.values()[(int) numbers[0]];
    this.dynamic = numbers[1] != 0;
    this.shape = Arrays.copyOfRange(numbers, 2, numbers.length);
    this.units = units;
  }

  /** The shape, the largest where it is dynamic. */
  public long[] shape() {
    return shape.clone();
  }

  /** Bytes of the largest such tensor. */
  public int bytes() {
    long bytes = dtype.bytes;
    for (long size : shape) {
      bytes = Math.multiplyExact(bytes, size);
    }
    return Math.toIntExact(bytes);
  }

  /** Memory for the largest such tensor, as methods take it: direct, aligned, in the machine's byte order. */
  public ByteBuffer allocate() {
    int bytes = bytes();
    ByteBuffer whole = ByteBuffer.allocateDirect(bytes + 2 * VECTOR);
    whole.position(Native.misalignment(whole, VECTOR));
    ByteBuffer aligned = whole.slice().order(ByteOrder.nativeOrder());
    aligned.limit(bytes);
    return aligned;
  }

  /** Rows (1 for a scalar) in a buffer's remaining bytes. */
  long rowsIn(ByteBuffer buffer, boolean isInput) {
    String what = (isInput ? "input '" : "output '") + name + "'";
    if (!buffer.isDirect() || buffer.order() != ByteOrder.nativeOrder()) {
      throw new IllegalArgumentException(what + " is no direct buffer in native byte order: TensorSpec.allocate() makes one.");
    }
    if (!isInput && buffer.isReadOnly()) {
      throw new IllegalArgumentException(what + " is a read-only buffer: TensorSpec.allocate() makes one.");
    }
    if (isInput && buffer.capacity() - buffer.limit() < VECTOR) {
      throw new IllegalArgumentException(
          what + " has no " + VECTOR + " bytes behind its end: TensorSpec.allocate() makes a buffer that has.");
    }
    long whole = bytes();
    long rowBytes = shape.length == 0 || shape[0] == 0 ? whole : whole / shape[0];
    boolean rightSize = dynamic && isInput
        ? rowBytes > 0 && buffer.remaining() > 0 && buffer.remaining() <= whole && buffer.remaining() % rowBytes == 0
        : buffer.remaining() == whole;
    if (!rightSize) {
      throw new IllegalArgumentException(what + " has " + buffer.remaining() + " bytes, " + whole + " are needed"
          + (dynamic && isInput ? ", or fewer rows of " + rowBytes + "." : "."));
    }
    return rowBytes == 0 ? 1 : buffer.remaining() / rowBytes;
  }

  @Override
  public String toString() {
    return name + " " + dtype + Arrays.toString(shape) + (dynamic ? ", 1 row or more" : "");
  }
}
