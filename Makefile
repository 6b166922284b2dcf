# What one does with Peephole. `make` alone prints this list.
# Go, make and apt (Debian) are enough to begin with; what else a target needs, `make deps` installs.

BIN      := bin
COMMANDS := relay camera camera-sim viewer
NODE     := web/node_modules/.package-lock.json

# How long one fuzz target runs, and all of them together at most.
FUZZTIME   ?= 8s
FUZZBUDGET ?= 300

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo build web deps test check race fuzz formal xdp mixup nat-matrix bench bench-turn soak-turn ci clean

help: ## print this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: build ## one relay and two cameras of two households, until Ctrl-C (state in .demo/)
	@scripts/demo.sh

build: ## bin/relay, bin/camera, bin/camera-sim and bin/viewer
	CGO_ENABLED=0 go build -trimpath -o $(BIN)/ $(COMMANDS:%=./cmd/%)

web: $(NODE) ## rebuild the committed web page, web/dist
	cd web && npm run build

deps: ## install the Debian packages that the tests need
	@scripts/deps.sh

test: deps $(NODE) ## all tests, Go and web; says how many passed
	@scripts/test.sh

check: $(NODE) ## quick: format, vet, staticcheck, import rules, go.mod, types, web/dist is up to date
	@test -z "$$(gofmt -l .)" || { echo "not formatted; run gofmt -w on:"; gofmt -l .; exit 1; }
	go vet ./...
	go vet -tags unsealed ./internal/mixup
	go vet -tags natmatrix ./internal/e2e
	go tool staticcheck ./...
	go test -count=1 ./internal/archtest
	go mod tidy -diff
	cd web && npm run --silent check
	@scripts/dist.sh

race: ## the packages' tests again under the race detector; of the models a few stories
	RAPID_CHECKS=20 go test -race -timeout 10m $$(go list ./... | grep -v /internal/)

fuzz: ## every fuzz target for FUZZTIME, all together for FUZZBUDGET seconds at most
	@scripts/fuzz.sh $(FUZZTIME) $(FUZZBUDGET)

formal: deps ## the models of the protocol, the sound and the broken ones
	@formal/run.sh

xdp: deps ## build turn/xdp's program again and compare it with the committed one
	@scripts/xdp.sh check

# The households and, of them, those that watch live through TURN.
HOUSEHOLDS ?= 13000
SAMPLE     ?= 200

mixup: ## the incident of 2024 at its size, and without sealing; writes doc/mixup.md
	@scripts/mixup.sh $(HOUSEHOLDS) $(SAMPLE)

# How many pairs of networks at one time.
PAIRS ?= 6

nat-matrix: deps ## every kind of network with every other; writes doc/nat-matrix.md (half an hour, as root)
	NAT_MATRIX=$(CURDIR)/doc/nat-matrix.md go test -tags natmatrix -v -count=1 -run NATMatrix -parallel $(PAIRS) -timeout 3h ./internal/e2e

bench: ## the benchmarks of every package
	go test -run '^$$' -bench . -benchmem -timeout 1h ./...

# QUICK=1 shows a few figures within a minute and writes nothing. ALLOCATIONS=16,400, BURSTS=8 and RUNS=3 measure less, or more.
# COTURN='PATH [ARGUMENTS]' measures another coturn too.
bench-turn: export BENCH_TURN ?= $(if $(QUICK),,$(CURDIR)/doc/turn-benchmark.md)
bench-turn: deps ## our TURN server beside coturn and pion; writes doc/turn-benchmark.md (a quarter of an hour, as root)
	go test -v -run '^$$' -bench TURN -benchtime 1x -timeout 2h ./internal/turnbench

soak-turn: export SOAK ?= 30m
soak-turn: ## our TURN server at half load for SOAK, while clients come and go: what it holds must not grow
	go test -v -run '^$$' -bench Soak -benchtime 1x -timeout 4h ./internal/turnbench

# CI=1 turns a skipped test into a failure. The tests come last, so that their count is the last line.
ci: export CI = 1
ci: check race fuzz formal xdp test ## everything, as .ci/run does

clean: ## remove what was built and the demo's state
	rm -rf $(BIN) .demo web/node_modules

$(NODE): web/package.json web/package-lock.json
	@command -v npm >/dev/null || $(MAKE) --no-print-directory deps
	cd web && npm ci --no-audit --no-fund
	@touch $@
