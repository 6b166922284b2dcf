package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// vulnerabilities serves a Go vulnerability database with one entry, about a function that package redact calls.
func vulnerabilities(t *testing.T, symbol string) (url string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"index/db.json":      `{"modified":"2026-01-01T00:00:00Z"}`,
		"index/modules.json": `[{"path":"stdlib","vulns":[{"id":"GO-2026-0001","modified":"2026-01-01T00:00:00Z"}]}]`,
		"index/vulns.json":   `[{"id":"GO-2026-0001","modified":"2026-01-01T00:00:00Z"}]`,
		"ID/GO-2026-0001.json": `{"schema_version":"1.3.1","id":"GO-2026-0001",
			"modified":"2026-01-01T00:00:00Z","published":"2026-01-01T00:00:00Z",
			"summary":"planted","database_specific":{"url":"https://example.com/1"},
			"affected":[{"package":{"name":"stdlib","ecosystem":"Go"},
			"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}],
			"ecosystem_specific":{"imports":[{"path":"regexp","symbols":["` + symbol + `"]}]}}]}`,
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return "file://" + dir
}

// A vulnerability fails the audit, in either language. A database that is out of reach does not, but is reported. An
// audit that does not work at all fails.
func TestAuditTellsFoundFromUnreachable(t *testing.T) {
	t.Parallel()
	need(t, "node", "npm")
	if _, err := os.Stat("../../web/node_modules"); err != nil {
		missing(t, "web/node_modules: run make test, or npm ci in web")
	}

	const planted = `{"qr":[{"id":1,"url":"https://example.com/1","title":"planted","severity":"high",
		"vulnerable_versions":"<99","cwe":[],"cvss":{"score":0}}]}`
	advisories := func(status int, text string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			if r.Method == http.MethodPost {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, text)
				return
			}
			http.NotFound(w, r)
		}))

		t.Cleanup(s.Close)
		return s.URL
	}

	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	called, uncalled := vulnerabilities(t, "MustCompile"), vulnerabilities(t, "MatchReader")
	for _, tt := range []struct {
		name, vulndb, registry, packages string
		fails                            bool
		says                             []string
	}{
		{"nothing", uncalled, advisories(200, "{}"), "./redact", false,
			[]string{"no known vulnerability", "npm: no known vulnerability"}},
		{"in Go", called, advisories(200, "{}"), "./redact", true,
			[]string{"audit: Go: known vulnerabilities", "GO-2026-0001", "npm: no known vulnerability"}},
		{"in npm", uncalled, advisories(200, planted), "./redact", true,
			[]string{"no known vulnerability", "audit: npm: known vulnerabilities", "planted"}},
		{"neither in reach", "", closed.URL, "./redact", false,
			[]string{"Go: its database cannot be reached", "npm: its database cannot be reached",
				"nothing was looked for"}},
		{"npm refuses", uncalled, advisories(405, ""), "./redact", false,
			[]string{"npm: its database cannot be reached", "405"}},
		{"a package that is not there", uncalled, advisories(200, "{}"), "./nowhere", true,
			[]string{"audit: govulncheck did not work"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "scripts/audit.sh", tt.packages)
			cmd.Dir = "../.."
			cmd.Env = append(os.Environ(), "VULNDB="+tt.vulndb, "npm_config_registry="+tt.registry,
				"npm_config_fetch_retries=0",
				"npm_config_cache="+t.TempDir(), "GOTOOLCHAIN=local")
			if tt.vulndb == "" {
				cmd.Env = append(cmd.Env, "HTTPS_PROXY="+closed.URL)
			}

			out, err := cmd.CombinedOutput()
			if (err != nil) != tt.fails {
				t.Errorf("%v, fails: %v; it said %s", err, tt.fails, out)
			}
			for _, want := range tt.says {
				if !strings.Contains(string(out), want) {
					t.Errorf("it said %s, not %q", out, want)
				}
			}
		})
	}
}
