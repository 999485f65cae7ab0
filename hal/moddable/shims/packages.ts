/**
 * The entry of the bundle that becomes the module `mqtt-packet` of the firmware. The cache of numbers
 * is turned off here and not at the first packet: preloaded, the switch behind it is read-only.
 */
import mqtt from "mqtt-packet";

(mqtt as unknown as { writeToStream: { cacheNumbers: boolean } }).writeToStream.cacheNumbers = false;

export default mqtt;
