//! access_matrix
