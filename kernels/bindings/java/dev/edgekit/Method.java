package dev.edgekit;

import java.util.List;

/** One method of a bundle's program. */
public final class Method {
  public final String name;
  public final List<TensorSpec> inputs;
  public final List<TensorSpec> outputs;

  Method(String name, List<TensorSpec> inputs, List<TensorSpec> outputs) {
    this.name = name;
    this.inputs = inputs;
    this.outputs = outputs;
  }
}
