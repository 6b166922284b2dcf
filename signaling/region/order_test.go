package region

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// orderVector is a place order, which the page's tests read too.
type orderVector struct {
	Seed  []byte   `json:"seed"`
	Names []string `json:"names"`
	Order []string `json:"order"`
}

func namesOf(regions []Region) (names []string) {
	for _, r := range regions {
		names = append(names, r.Name)
	}
	return names
}

func TestPlaceOrder(t *testing.T) {
	b, err := os.ReadFile("testdata/order.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []orderVector
	if err := json.Unmarshal(b, &vectors); err != nil || len(vectors) == 0 {
		t.Fatal(len(vectors), err)
	}

	for _, v := range vectors {
		for range 3 {
			var regions []Region
			for _, name := range v.Names {
				regions = append(regions, Region{Name: name})
			}
			if got := namesOf(PlaceOrder(v.Seed, regions)); !slices.Equal(got, v.Order) {
				t.Errorf("seed %x: %q, want %q", v.Seed, got, v.Order)
			}
			v.Names = append(v.Names[1:], v.Names[0]) // the map's order does not matter
		}
	}
}

// What one camera's viewers try first must not be what all cameras' viewers try first.
func TestPlaceOrderDiffersBetweenCameras(t *testing.T) {
	regions := []Region{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d"}}
	first := make(map[string]int)
	for n := range 400 {
		seed := bytes.Repeat([]byte{byte(n), byte(n >> 8)}, SeedSize/2)
		first[PlaceOrder(seed, regions)[0].Name]++
	}
	for _, r := range regions {
		if first[r.Name] < 60 {
			t.Errorf("%q comes first for %d of 400 cameras", r.Name, first[r.Name])
		}
	}
}
