// A node that finds objects in the images of a topic: a thin wrapper over ObjectFinder (../../camera).
//
// Subscribes to `image` (sensor_msgs/Image: mono8, mono16, bgr8, rgb8), publishes `objects`
// (vision_msgs/Detection2DArray) with the image's header. While an image is in work, newer ones replace each other: the
// node looks at the newest. Parameters: `bundle` (folder), `fit` (resize, pad, tile), `threshold` (logit; NaN for the
// bundle's own).
#pragma once

#include <memory>
#include <rclcpp/rclcpp.hpp>
#include <sensor_msgs/msg/image.hpp>
#include <vision_msgs/msg/detection2_d_array.hpp>

#include "object_finder.h"

class ObjectNode : public rclcpp::Node {
 public:
  // Throws std::runtime_error, with a sentence, where the bundle cannot be opened.
  explicit ObjectNode(const rclcpp::NodeOptions &options = rclcpp::NodeOptions());

 private:
  void take(const sensor_msgs::msg::Image &image);

  std::unique_ptr<ObjectFinder> finder_;
  GrayImage gray_;
  edgekit::Segmentation found_;
  rclcpp::Publisher<vision_msgs::msg::Detection2DArray>::SharedPtr publisher_;
  rclcpp::Subscription<sensor_msgs::msg::Image>::SharedPtr subscription_;
};
