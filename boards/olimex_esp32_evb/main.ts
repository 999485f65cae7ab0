import { main } from "../../hal/moddable/esp32/main.js";
import device from "./provider.js";

main(device);
