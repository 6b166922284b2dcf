//go:build !linux

package anet

import "net"

// addressed returns why there are no interfaces to be had.
func addressed(why error) ([]net.Interface, error) { return nil, why }

// addressesOf returns why there are no addresses to be had.
func addressesOf(_ *net.Interface, why error) ([]net.Addr, error) { return nil, why }
