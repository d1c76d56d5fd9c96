// SPDX-License-Identifier: Apache-2.0
// What the viewer of umed uses of NiiVue; what these three do not need is left out of the bundle.
export { NVImage, Niivue, SLICE_TYPE } from "@niivue/niivue";
