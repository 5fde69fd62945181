try { document.documentElement.dataset.theme = localStorage.getItem("theme") || ""; } catch { /* as the system has it */ }
