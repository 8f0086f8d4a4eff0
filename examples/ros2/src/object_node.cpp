#include "object_node.h"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace {

// Milliseconds between two complaints about images: a camera sends many of a kind.
constexpr int kQuiet = 5000;

// A box is the middle and the extent of its pixels, whose centres are at whole numbers.
vision_msgs::msg::Detection2D detection_of(const edgekit::SegmentedObject &object) {
  vision_msgs::msg::Detection2D detection;
  const auto [top, left, bottom, right] = object.box;
  detection.bbox.center.position.x = 0.5 * (left + right - 1);
  detection.bbox.center.position.y = 0.5 * (top + bottom - 1);
  detection.bbox.size_x = right - left;
  detection.bbox.size_y = bottom - top;
  vision_msgs::msg::ObjectHypothesisWithPose hypothesis;
  hypothesis.hypothesis.class_id = "object";
  hypothesis.hypothesis.score = 1 / (1 + std::exp(-static_cast<double>(object.peak)));
  hypothesis.pose.pose.position.x = object.centroid[1];
  hypothesis.pose.pose.position.y = object.centroid[0];
  detection.results.push_back(hypothesis);
  return detection;
}

}  // namespace

ObjectNode::ObjectNode(const rclcpp::NodeOptions &options) : Node("object_node", options) {
  FinderSettings settings;
  settings.bundle = declare_parameter<std::string>("bundle", "");
  settings.fit = declare_parameter<std::string>("fit", settings.fit);
  const double threshold = declare_parameter<double>("threshold", std::numeric_limits<double>::quiet_NaN());
  if (!std::isnan(threshold)) settings.threshold = threshold;
  if (settings.bundle.empty()) throw std::runtime_error("the parameter 'bundle' is empty: give a bundle's folder.");
  std::string why;
  finder_ = ObjectFinder::open(settings, &why);
  if (!finder_) throw std::runtime_error(why);
  publisher_ = create_publisher<vision_msgs::msg::Detection2DArray>("objects", rclcpp::SensorDataQoS());
  // A queue of one, and best effort: what comes while an image is in work replaces what waits.
  subscription_ = create_subscription<sensor_msgs::msg::Image>(
      "image", rclcpp::SensorDataQoS().keep_last(1),
      [this](sensor_msgs::msg::Image::ConstSharedPtr image) { take(*image); });
}

void ObjectNode::take(const sensor_msgs::msg::Image &image) {
  std::string why;
  PixelView view{image.data.data(), image.data.size(), image.height, image.width, image.step, Encoding::mono8,
                 image.is_bigendian != 0};
  bool done = find_encoding(image.encoding, &view.encoding);
  if (!done) why = "images of the encoding '" + image.encoding + "' are not taken: send mono8, mono16, bgr8 or rgb8.";
  if (!done || !to_gray(view, &gray_, &why) || !finder_->find(gray_, &found_, &why)) {
    RCLCPP_WARN_THROTTLE(get_logger(), *get_clock(), kQuiet, "%s", why.c_str());
    return;
  }
  vision_msgs::msg::Detection2DArray objects;
  objects.header = image.header;
  for (int index = 0; index < found_.object_count(); ++index) {
    objects.detections.push_back(detection_of(found_.objects()[index]));
    objects.detections.back().header = image.header;
  }
  publisher_->publish(objects);
}
