# What to do with Peephole. `make` alone prints the list of targets.
# Go, make and apt (Debian) are enough to begin with; `make deps` installs whatever else a target needs.

BIN      := bin
COMMANDS := relay camera camera-sim viewer
NODE     := web/node_modules/.package-lock.json

# Build, check and test what others get, without go.work; only scripts/release.sh uses it.
export GOWORK := off

# How long each fuzz target runs, and how long all of them together may take.
FUZZTIME   ?= 8s
FUZZBUDGET ?= 300

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo build dist cross web deps test quick stress trial check audit race fuzz mutate formal xdp mixup \
	nat-matrix bench bench-turn bench-networks bench-rtsp bench-lan bench-bulk bench-carriers soak-turn ci \
	messages clean

help: ## print this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: build ## one relay and two cameras of two households, until Ctrl-C (state in .demo/)
	@scripts/demo.sh

# The commands are built with the release that go.mod names, including its latest patches; the tests run with the
# installed Go, so that both are tried.
build: ## bin/relay, bin/camera, bin/camera-sim and bin/viewer
	CGO_ENABLED=0 GOTOOLCHAIN=$$(scripts/toolchain.sh) go build -trimpath -buildvcs=auto -o $(BIN)/ $(COMMANDS:%=./cmd/%)

# TARGETS='linux/arm64 windows/amd64' builds only those.
dist: ## archives for all platforms, and their SHA-256, in dist/
	@scripts/release.sh $(TARGETS)

cross: ## build for two of dist's targets, which change with each commit
	@scripts/release.sh -turn

web: $(NODE) ## rebuild the committed web page, web/dist
	cd web && npm run build

deps: ## install the Debian packages that the tests need
	@scripts/deps.sh

test: deps $(NODE) trial ## all tests, Go and web; ends with how many passed
	@$(BIN)/trial scripts/test.sh

quick: $(NODE) ## the packages' own tests and the page's unit tests (1 min 55 s)
	@scripts/quick.sh

# How many runs, and how many busy loops beside them.
RUNS ?= 10
BUSY ?= 4

stress: export STRICT = 1
stress: deps $(NODE) trial ## make test RUNS times in a row, beside BUSY busy loops; stops at the first failure
	@go test -count=1 -run '^$$' ./... >/dev/null
	@$(BIN)/trial -runs $(RUNS) -busy $(BUSY) $(MAKE) --no-print-directory test

trial:
	@go build -o $(BIN)/ ./test/trial

check: $(NODE) ## format, vet, staticcheck, import and layout rules, go.mod, types, web/dist, the last commit's subject
	@test -z "$$(gofmt -l .)" || { echo "not formatted; run gofmt -w on:"; gofmt -l .; exit 1; }
	go vet ./...
	go vet -tags unsealed ./test/mixup
	go vet -tags natmatrix ./test/e2e
	cd nat/anet && go vet ./... && go test -count=1 ./...
	cd test/embed && go vet ./... && go test -count=1 ./...
	go tool staticcheck ./...
	go test -count=1 ./test/archtest ./test/messages
	go mod tidy -diff
	cd web && npm run --silent check
	@scripts/dist.sh
	@scripts/subject.sh

audit: $(NODE) ## known vulnerabilities in dependencies; says so if a database cannot be reached
	@scripts/audit.sh

race: ## the packages' tests again under the race detector, the longest at a smaller size
	@scripts/race.sh

fuzz: ## every fuzz target for FUZZTIME, but at most FUZZBUDGET seconds together
	@scripts/fuzz.sh $(FUZZTIME) $(FUZZBUDGET)

# How many faults for each package (0: all of them), and in which packages.
FAULTS  ?= 20
MUTATED ?= ./crypto/... ./session/... ./signaling/server ./turn ./camera

mutate: ## plant small faults and list those that no test notices (an hour or two)
	go run ./test/mutate -n $(FAULTS) $(MUTATED)

formal: deps ## the models of the protocol, the sound and the broken ones
	@formal/run.sh

xdp: deps ## build turn/xdp's program again and compare it with the committed one
	@scripts/xdp.sh check

# How many households, and how many of them watch live through TURN.
HOUSEHOLDS ?= 13000
SAMPLE     ?= 200

mixup: ## the incident of 2024 at its size, and without sealing; writes doc/mixup.md
	@scripts/mixup.sh $(HOUSEHOLDS) $(SAMPLE)

# How many pairs of networks at a time. KINDS='open;NAT64' compares ICE with DCUtR between those alone.
PAIRS ?= 6

nat-matrix: export NAT_MATRIX_KINDS ?= $(KINDS)
nat-matrix: deps ## every kind of network with every other; writes doc/nat-matrix.md (an hour, as root)
	NAT_MATRIX=$(CURDIR)/doc/nat-matrix.md go test -tags natmatrix -v -count=1 -run NATMatrix -parallel $(PAIRS) -timeout 3h ./test/e2e

bench: ## the benchmarks of every package
	go test -run '^$$' -bench . -benchmem -timeout 1h ./...

# QUICK=1 shows a few figures within a minute and writes nothing. ALLOCATIONS=16,400, BURSTS=8 and RUNS=3 measure less,
# or more. COTURN='PATH [ARGUMENTS]' measures another coturn too.
bench-turn: export BENCH_TURN ?= $(if $(QUICK),,$(CURDIR)/doc/turn-benchmark.md)
bench-turn: deps ## our TURN server beside coturn and pion; writes doc/turn-benchmark.md (a quarter of an hour, as root)
	go test -v -run '^$$' -bench TURN -benchtime 1x -timeout 2h ./test/turnbench

bench-networks: ## starts between hosts with 3 to 60 further networks, and between plain ones (five minutes, as root)
	go test -v -run '^$$' -bench ManyNetworks -benchtime 1x -timeout 2h ./test/e2e

bench-rtsp: ## our RTSP client beside ffmpeg, and beside go2rtc if GO2RTC is its binary (three minutes)
	go test -v -run '^$$' -bench RTSP -benchtime 1x -timeout 30m ./media

# How long the cameras are left alone, and then measured.
IDLE ?= 3m

bench-lan: ## what an idle camera costs that can be found without the cloud, and one that cannot (ten minutes, as root)
	CGO_ENABLED=0 GOFLAGS="$$GOFLAGS -trimpath" \
		go test -v -run '^$$' -bench IdleCamera -benchtime 1x -timeout 2h ./test/e2e -idle $(IDLE)

# The congestion control of iperf3's TCP, which Linux must have.
TCP ?= cubic

bench-bulk: ## one large object: by TCP, by our QUIC and by SCTP, directly and relayed (20 minutes, as root)
	@scripts/deps.sh iperf3
	CGO_ENABLED=0 GOFLAGS="$$GOFLAGS -trimpath" \
		go test -v -run '^$$' -bench Bulk -benchtime 1x -timeout 2h ./test/e2e -bulk-tcp $(TCP)

soak-turn: export SOAK ?= 30m
soak-turn: ## our TURN server at half load for SOAK, while clients come and go: what it holds must not grow
	go test -v -run '^$$' -bench Soak -benchtime 1x -timeout 4h ./test/turnbench

bench-carriers: ## signaling over WebTransport beside the WebSocket (six minutes, as root)
	CGO_ENABLED=0 GOFLAGS="$$GOFLAGS -trimpath" \
		go test -v -run '^$$' -bench SignalingCarriers -benchtime 1x -timeout 2h ./test/e2e

# CI=1 makes a skipped test a failure. Each fuzz target runs for three seconds only; make fuzz alone looks longer. The
# tests come last, so that their count is the last line.
ci: export CI = 1
ci: FUZZBUDGET = 240
ci: check cross audit race fuzz formal xdp test ## everything, as .ci/run does

messages: ## write doc/messages.md from the code and test/messages/explained
	go run ./test/messages -write

clean: ## remove what was built, the demo's state and stress's logs
	rm -rf $(BIN) dist .demo .stress web/node_modules

$(NODE): web/package.json web/package-lock.json
	@command -v npm >/dev/null || $(MAKE) --no-print-directory deps
	cd web && npm ci --no-audit --no-fund
	@touch $@
