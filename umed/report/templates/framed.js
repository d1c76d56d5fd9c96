// SPDX-License-Identifier: Apache-2.0
if (parent !== window) // within umed app, which cannot look into this page
  new ResizeObserver(() => parent.postMessage({ umedHeight: document.body.scrollHeight }, "*")).observe(document.body);
