/**
 * The firmware on Moddable's Linux target: what tools/linhost starts. The root of the files holds
 * site.json, `authority.pem` where site.json's broker needs one, and what the controller keeps.
 * Everything else is preloaded; only this module runs from RAM.
 */
import files from "embedded:storage/files";
import TextDecoder from "text/decoder";
import TextEncoder from "text/encoder";
import { boot, type Screen } from "../../hal/moddable/lin/boot.js";

declare const screen: Screen;
declare const globalThis: { TextDecoder: unknown; TextEncoder: unknown };

globalThis.TextDecoder = TextDecoder;
globalThis.TextEncoder = TextEncoder;
boot(files, screen);
