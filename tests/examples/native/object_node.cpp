// The ROS node on the stand-ins: object_node BUNDLE PIXELS HEIGHT WIDTH. Sends it an image that is damaged, one of an
// encoding that it does not know, and the pixels (mono8); prints what it published, a detection a line.
#include "object_node.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>

int main(int count, char **arguments) {
  using vision_msgs::msg::Detection2DArray;
  if (count != 5) return 2;
  rclcpp::given_parameters["bundle"] = std::string(arguments[1]);
  std::unique_ptr<ObjectNode> node;
  try {
    node = std::make_unique<ObjectNode>();
  } catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  const auto send = [](const sensor_msgs::msg::Image &image) {
    rclcpp::Subscription<sensor_msgs::msg::Image>::callback(std::make_shared<sensor_msgs::msg::Image>(image));
  };
  std::ifstream file(arguments[2], std::ios::binary);
  sensor_msgs::msg::Image image;
  image.header.frame_id = "lens";
  image.data.assign(std::istreambuf_iterator<char>(file), {});
  image.height = static_cast<uint32_t>(std::atoi(arguments[3]));
  image.width = image.step = static_cast<uint32_t>(std::atoi(arguments[4]));
  image.encoding = "mono8";
  sensor_msgs::msg::Image damaged = image, unknown = image;
  damaged.height += 1;
  unknown.encoding = "bayer_rggb8";
  for (const auto &each : {damaged, unknown, image}) send(each);
  const auto &published = rclcpp::Publisher<Detection2DArray>::published;
  std::printf("%zu %s\n", published.size(), published.empty() ? "" : published[0].header.frame_id.c_str());
  for (const auto &found : published.empty() ? decltype(published[0].detections){} : published[0].detections) {
    const auto &center = found.bbox.center.position;
    const auto &result = found.results.at(0);
    const auto &centroid = result.pose.pose.position;
    std::printf("%.17g %.17g %.17g %.17g %.17g %.17g %.17g\n", center.x, center.y, found.bbox.size_x, found.bbox.size_y,
                centroid.x, centroid.y, result.hypothesis.score);
  }
  return 0;
}
