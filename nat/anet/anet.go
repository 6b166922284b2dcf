// Package anet lists this machine's interfaces and their addresses, also where an Android app may not ask as
// [net.Interfaces] does. It stands in for github.com/wlynxg/anet (go.work says so), which pion imports and which does
// not link for Android: it reaches into package net. It must do nothing else than what pion calls.
package anet

import (
	"net"
)

// Interfaces returns the machine's interfaces; on Android 11 or newer those that have an address.
func Interfaces() ([]net.Interface, error) {
	all, err := net.Interfaces()
	if err == nil {
		return all, nil
	}
	return addressed(err)
}

// InterfaceAddrsByInterface returns an interface's unicast addresses.
func InterfaceAddrsByInterface(i *net.Interface) ([]net.Addr, error) {
	all, err := i.Addrs()
	if err == nil {
		return all, nil
	}
	return addressesOf(i, err)
}
