package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// All of the module's sentences are explained and tested, and the table is up to date.
func TestTableIsWhatTheCodeSays(t *testing.T) {
	if err := run([]string{filepath.Join("..", "..")}); err != nil {
		t.Error(err)
	}
}

// planted is a small module that says one thing in each language, explains it and tests it.
func planted() map[string]string {
	return map[string]string{
		"cmd/viewer/main.go": "package main\n\nimport \"errors\"\n\n" +
			"var errGone = errors.New(\"the cat is gone: call it\")\n",
		"cmd/viewer/main_test.go": "package main\n\nfunc TestGone() { says(\"the cat is gone\") }\n\nvar _ = errGone\n",
		"web/src/ui/card.ts":      "const word = 'The cat is back.'; // 'Not a sentence.'\n",
		"web/test/card.test.ts":   "test('a cat that comes back', () => says('The cat is back.'));\n",
		"web/static/index.html":   "<p class=\"x\">Here are <b id=\"y\"></b> cats</p><!-- <p>No cats here</p> -->\n",
		"test/messages/explained/all.txt": "the cat is gone: call it\n\twhen: it left\n" +
			"The cat is back.\n\twhen: it came\n\tdo: nothing\n" +
			"Here are … cats\n\twhen: always\n",
	}
}

// Each fault planted in a sound module is reported.
func TestPlantedFaultsAreSeen(t *testing.T) {
	old := rooms
	defer func() { rooms = old }()
	rooms = nil
	for _, r := range old {
		if r.folder == "cmd/viewer" || strings.HasPrefix(r.folder, "web/") {
			rooms = append(rooms, r)
		}
	}

	replace := func(file, from, to string) func(map[string]string) {
		return func(m map[string]string) { m[file] = strings.Replace(m[file], from, to, 1) }
	}
	const all = "test/messages/explained/all.txt"
	for _, tt := range []struct {
		name  string
		plant func(map[string]string)
		says  string // "": nothing is wrong
	}{
		{"nothing", func(map[string]string) {}, ""},
		{"a sentence of Go", replace("cmd/viewer/main.go", "var ",
			"var errNew = errors.New(\"the dog barks\")\n\nvar "), `"the dog barks" is not explained`},
		{"a sentence that is returned",
			replace("cmd/viewer/main.go", "var ", "func f() string { return \"the dog \" + \"barks\" }\n\nvar "),
			`"the dog barks" is not explained`},
		{"a line of the log", replace("cmd/viewer/main.go", "var ",
			"func f() { log.Warn(\"dog\", \"not shown as such\", 1) }\n\nvar "),
			`"dog" is not explained`},
		{"a debug line", replace("cmd/viewer/main.go", "var ", "func f() { log.Debug(\"the dog barks\") }\n\nvar "),
			""},
		{"where an error happened",
			replace("cmd/viewer/main.go", "var ", "func f() { fmt.Errorf(\"walk the dog: %w\", err) }\n\nvar "), ""},
		{"a sentence of the page", replace("web/src/ui/card.ts", "const ", "say('dogs bark'); const "),
			`"dogs bark" is not explained`},
		{"a template of the page",
			replace("web/src/ui/card.ts", "const ", "const dog = `${1} ${`x`} Dogs bark`; const "),
			""},
		{"a capital of the page", replace("web/src/ui/card.ts", "const ", "const dog = `Dogs ${`x`} bark`; const "),
			`"Dogs … bark" is not explained`},
		{"standing text", replace("web/static/index.html", "cats</p>", "cats</p><p>Dogs bark</p>"),
			`"Dogs bark" is not explained`},
		{"standing text of two lines", replace("web/static/index.html", "cats</p>", "cats</p><p>Dogs\n  bark</p>"),
			`"Dogs bark" is not explained`},
		{"another wording", replace("web/src/ui/card.ts", "is back", "has come back"),
			`nothing says "The cat is back." any more`},
		{"explained twice", func(m map[string]string) {
			m["test/messages/explained/b.txt"] = "The cat is back.\n\twhen: again\n"
		}, "is explained twice"},
		{"explained without a when", replace(all, "\twhen: it left\n", ""), "say when it is said"},
		{"no test", replace("web/test/card.test.ts", "'The cat is back.'", "''"),
			`no test brings "The cat is back." about`},
		{"a test of the variable", replace("cmd/viewer/main_test.go", `says("the cat is gone")`, "is(errGone)"), ""},
		{"a test of something else",
			replace("cmd/viewer/main_test.go", `says("the cat is gone")`, `says("a cat is gone")`),
			`no test brings "the cat is gone: call it" about`},
		{"a test that is not there", replace(all, "\twhen: it left\n", "\twhen: it left\n\ttest: cmd/viewer TestDog\n"),
			`there is no test "cmd/viewer TestDog"`},
		{"a test that quotes nothing", func(m map[string]string) {
			m["cmd/viewer/main_test.go"] += "\nfunc TestDog() { says(\"barks\") }\n"
			replace(all, "\twhen: it left\n", "\twhen: it left\n\ttest: cmd/viewer TestDog\n")(m)
		}, "TestDog quotes nothing of it"},
		{"a table that is old", func(m map[string]string) {
			m["doc/messages.md"] = "# Messages\n"
		}, "doc/messages.md is out of date"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			module := planted()
			tt.plant(module)
			root := t.TempDir()
			for name, text := range module {
				file := filepath.Join(root, filepath.FromSlash(name))
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}

			args := []string{"-write", root}
			if module["doc/messages.md"] != "" {
				args = args[1:]
			} else if err := os.MkdirAll(filepath.Join(root, "doc"), 0o700); err != nil {
				t.Fatal(err)
			}

			err := run(args)
			switch {
			case tt.says == "" && err != nil:
				t.Errorf("says %v, want nothing", err)
			case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Errorf("says %v\nwant %q", err, tt.says)
			}
		})
	}
}
