package anet

import (
	"net"
	"slices"
	"testing"
)

// TestAddressedIsWhatNetTells: the calls that an app may make return the same as those of package net, for all
// interfaces that have an address.
func TestAddressedIsWhatNetTells(t *testing.T) {
	found, err := addressed(nil)
	if err != nil {
		t.Fatal(err)
	}
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}

	seen := 0
	for _, want := range all {
		addresses, err := want.Addrs()
		if err != nil {
			t.Fatal(err)
		}
		if len(addresses) == 0 {
			continue
		}

		seen++
		at := slices.IndexFunc(found, func(i net.Interface) bool { return i.Index == want.Index })
		if at < 0 {
			t.Errorf("%s is missing", want.Name)
			continue
		}

		if got := found[at]; got.Name != want.Name || got.MTU != want.MTU || got.Flags != want.Flags {
			t.Errorf("%+v, want %+v", got, want)
		}
		own, err := addressesOf(&found[at], nil)
		if err != nil || !slices.Equal(spelled(own), spelled(addresses)) {
			t.Errorf("%s has %v (%v), want %v", want.Name, own, err, addresses)
		}
	}

	if seen == 0 || seen != len(found) {
		t.Errorf("%d interfaces, want %d and at least the loopback", len(found), seen)
	}
}

func spelled(all []net.Addr) (texts []string) {
	for _, a := range all {
		texts = append(texts, a.String())
	}
	slices.Sort(texts)
	return texts
}
