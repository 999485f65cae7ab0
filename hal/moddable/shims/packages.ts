/** The entry of the bundle that becomes the module `mqtt-packet` of the firmware. */
export { default } from "mqtt-packet";
