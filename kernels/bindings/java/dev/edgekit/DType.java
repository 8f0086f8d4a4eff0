package dev.edgekit;

/** The type of a tensor's numbers, in the order of the C interface's. */
public enum DType {
  FLOAT32(4),
  FLOAT16(2),
  FLOAT64(8),
  INT8(1),
  UINT8(1),
  INT16(2),
  INT32(4),
  INT64(8),
  BOOL(1);

  /** Bytes of one number. */
  public final int bytes;

  DType(int bytes) {
    this.bytes = bytes;
  }
}
