package obs

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Labels are a metric's constant labels.
type Labels = map[string]string

// Metrics is a registry that reads its values when it is asked. It implements http.Handler, in Prometheus' format.
type Metrics struct {
	registry *prometheus.Registry
	handler  http.Handler
}

// NewMetrics returns a registry that holds the Go runtime's and the process' own metrics.
func NewMetrics() *Metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Metrics{r, promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4})}
}

// Counter adds a value that only grows. It panics on a name and labels that are there already or that Prometheus does not
// allow: a mistake in this program.
func (m *Metrics) Counter(name, help string, labels Labels, value func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, value))
}

// Gauge adds a value that rises and falls. It panics as Counter does.
func (m *Metrics) Gauge(name, help string, labels Labels, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value))
}

func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }
