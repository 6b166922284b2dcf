package e2e

import (
	"strings"
	"testing"
)

// A proxy that drops Upgrade is named by the page.
func TestBrowserNamesAProxyThatDropsUpgrade(t *testing.T) {
	t.Parallel()
	haproxy := proxyConfigs(t, "haproxy")[0]
	dropping := proxy{"haproxy", strings.Replace(haproxy, "    http-request set-header",
		"    http-request del-header Upgrade\n    http-request set-header", 1), false}
	_, url, flags := dropping.front(t)
	_, links := startCameraSims(t, url, 1, flags...)

	for _, browser := range []string{"chromium", "firefox"} {
		t.Run(browser, func(t *testing.T) {
			r := drive{Browser: browser, Policy: "plain", TrustAll: true, Steps: []step{
				{"open": links["sim-0"]}, {"error": true},
			}}.run(t)
			want := "A proxy in front of the relay at " + strings.TrimPrefix(url, "https://") + " blocks WebSocket: " +
				"ask its operator to pass the Upgrade and Connection headers on."
			if r.Error != want {
				t.Errorf("the page says %q, want %q", r.Error, want)
			}
		})
	}
}
